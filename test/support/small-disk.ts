// A small file system in memory, for tests of full and read-only disks.
import { execFileSync } from "node:child_process";
import fs from "node:fs";

/** Mounts it; false, with the reason printed, where that is not allowed (no root, or a container without the right). */
export function mountSmallDisk(at: string, options: string): boolean {
  try {
    fs.mkdirSync(at, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", options, "none", at], { stdio: "pipe" });
    return true;
  } catch (error) {
    console.log(`not tested: cannot mount a tmpfs here (${String(error).split("\n")[0]})`);
    return false;
  }
}

export const remount = (at: string, options: string): void => {
  execFileSync("mount", ["-o", `remount,${options}`, at]);
};

export const unmount = (at: string): void => {
  execFileSync("umount", [at]);
};

/** Writes a file until not a byte of its disk is left. */
export function fillDisk(path: string): void {
  const file = fs.openSync(path, "a");
  try {
    for (const size of [65_536, 4096, 1]) {
      try {
        for (;;) fs.writeSync(file, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
      }
    }
  } finally {
    fs.closeSync(file);
  }
}
