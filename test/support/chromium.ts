// A headless Chromium for tests of pages, where one is installed.
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser's program, or null, which is said on the console. ISTA_NAS_CHROMIUM may name it. */
export function findChromium(): string | null {
  const named = process.env.ISTA_NAS_CHROMIUM;
  const found = [...(named === undefined ? [] : [named]), ...known].find((path) => existsSync(path)) ?? null;
  if (found === null)
    console.warn("left out: no Chromium is installed (apt-get install chromium, or ISTA_NAS_CHROMIUM)");
  return found;
}

/** Starts it so that it opens no connections of its own. */
export function launchChromium(executablePath: string): Promise<Browser> {
  const quiet = [
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
  ];
  const args = ["no-sandbox", "disable-gpu", ...quiet].map((name) => `--${name}`);
  return chromium.launch({ executablePath, args, headless: true });
}
