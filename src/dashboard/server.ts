// The HTTP server of the dashboard: a few fixed addresses, read only, for one host name.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { IstaError } from "../base/errors.js";
import type { Catalogue } from "./catalogue.js";
import { drawCells } from "./drawings.js";
import { tell } from "./events.js";
import { pageFiles, readPageFile } from "./page-files.js";
import { studyTable } from "./study-table.js";

const loopbackNames = ["localhost", "127.0.0.1", "[::1]"];
const cookieName = "ista-nas-token";

const contentPolicy = [
  "default-src 'none'",
  ...["script-src", "style-src", "img-src", "connect-src"].map((kind) => `${kind} 'self'`),
  ...["base-uri", "form-action", "frame-ancestors"].map((kind) => `${kind} 'none'`),
].join("; ");

const headers = {
  "Content-Security-Policy": contentPolicy,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cache-Control": "no-store",
};

/** What is answered instead of an error of ours. */
class Refusal extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface ServerOptions {
  readonly catalogue: Catalogue;
  /** Where it listens. */
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  /** What a page must know to be answered; null for none. */
  readonly token: string | null;
}

export interface Dashboard {
  /** To be opened in a browser, the token in it. */
  readonly address: string;
  readonly port: number;
  close(): Promise<void>;
}

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);

export const newToken = (): string => randomBytes(18).toString("base64url");

const bracketed = (host: string): string => (isIPv6(host) ? `[${host}]` : host);

/** Host names under which pages may ask: any other name is one that somebody else's page was given (DNS rebinding). */
function ownNames(host: string): string[] {
  if (isLoopback(host)) return [...new Set([...loopbackNames, bracketed(host)])];
  const everywhere = host === "0.0.0.0" || host === "::";
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return [
    ...loopbackNames,
    ...(everywhere
      ? [hostname(), ...addresses.map(({ address }) => bracketed(address))]
      : [bracketed(host), hostname()]),
  ].map((name) => name.toLowerCase());
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
const isSame = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));

/** Null where there is no text, NaN for one that is no number of an epoch. */
const wholeNumber = (text: string | null): number | null =>
  text === null ? null : /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;

function cookieOf({ headers: { cookie = "" } }: IncomingMessage, name: string): string {
  const pair = cookie.split(/; */).find((one) => one.startsWith(`${name}=`));
  return pair?.slice(name.length + 1) ?? "";
}

/** Begins to listen. @throws IstaError USAGE where the address or the port cannot be had */
export async function startServer({ catalogue, host, port, token }: ServerOptions): Promise<Dashboard> {
  let own: ReadonlySet<string> = new Set();
  let bound = 0;
  const cookie = (): string => `${cookieName}-${bound}`;

  const answer = (response: ServerResponse, type: string, body: string, extra = {}): void => {
    const charset = { "Content-Type": `${type}; charset=utf-8`, "Content-Length": Buffer.byteLength(body) };
    response.writeHead(200, { ...headers, ...charset, ...extra });
    // Node leaves the body of an answer to HEAD out.
    response.end(body);
  };

  const admit = (request: IncomingMessage, response: ServerResponse, url: URL): boolean => {
    if (!own.has((request.headers.host ?? "").toLowerCase()))
      throw new Refusal(
        421,
        `expected the host name ${[...own].join(" or ")}; a tunnel must have the same port at both of its ends`,
      );
    if (request.method !== "GET" && request.method !== "HEAD")
      throw new Refusal(405, "only GET and HEAD are answered");
    // Pages of others may lead here, but not ask for anything in the background.
    const site = request.headers["sec-fetch-site"];
    if (url.pathname !== "/" && (site === "cross-site" || site === "same-site"))
      throw new Refusal(403, "pages of others are not answered");
    if (token === null) return true;
    const given = url.searchParams.get("token");
    if (given !== null && url.pathname === "/" && isSame(given, token)) {
      // Out of the address, which is remembered and shown, into a cookie that no script can read.
      const kept = `${cookie()}=${token}; HttpOnly; SameSite=Strict; Path=/`;
      response.writeHead(303, { ...headers, Location: "/", "Set-Cookie": kept });
      response.end();
      return false;
    }
    if (!isSame(cookieOf(request, cookie()), token))
      throw new Refusal(401, "expected the address with the token that `ista-nas dash` has printed");
    return true;
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = request.url ?? "";
    if (!URL.canParse(asked, "http://dashboard")) throw new Refusal(400, "expected an address");
    const url = new URL(asked, "http://dashboard");
    if (!admit(request, response, url)) return;
    const query = url.searchParams;
    const file = pageFiles.get(url.pathname);
    if (file !== undefined) return answer(response, file.type, readPageFile(url.pathname));
    if (url.pathname === "/api/cells.svg") {
      catalogue.refresh(5);
      const run = catalogue.runs.get(query.get("run") ?? "");
      const [epoch, before] = ["epoch", "before"].map((name) => wholeNumber(query.get(name)));
      const svg = run && !Number.isNaN(epoch) ? drawCells(run.folder, epoch, before) : null;
      if (!svg) throw new Refusal(404, "there are no cells of this run and epoch");
      // Opened by itself it may have its own style and nothing else.
      const policy = "default-src 'none'; style-src 'unsafe-inline'";
      return answer(response, "image/svg+xml", svg, { "Content-Security-Policy": policy });
    }
    if (url.pathname === "/api/study") {
      catalogue.refresh(5);
      const study = catalogue.studies.get(query.get("id") ?? "");
      if (study === undefined) throw new Refusal(404, "there is no such study");
      return answer(response, "application/json", JSON.stringify(await studyTable(study)));
    }
    if (url.pathname === "/events") {
      response.writeHead(200, { ...headers, "Content-Type": "text/event-stream" });
      if (request.method === "HEAD") {
        response.end();
        return;
      }
      const last = request.headers["last-event-id"];
      await tell(response, catalogue, {
        ids: query.getAll("run"),
        detailed: query.has("detailed"),
        lastEvent: (typeof last === "string" ? last : null) ?? query.get("last"),
      });
      response.end();
      return;
    }
    throw new Refusal(404, "there is nothing at this address");
  };

  // A comparison names all its runs, and where the page is in each.
  const server: Server = createServer({ maxHeaderSize: 1 << 20 }, (request, response) => {
    handle(request, response).catch((error: unknown) => {
      const status = error instanceof Refusal ? error.status : 500;
      if (!(error instanceof Refusal)) process.stderr.write(`dash: ${(error as Error).stack}\n`);
      const words = error instanceof Refusal ? error.message : "the dashboard has failed, see its terminal";
      if (response.headersSent) return void response.destroy();
      response.writeHead(status, { ...headers, "Content-Type": "text/plain; charset=utf-8" });
      response.end(`${words}\n`);
    });
  });
  await listen(server, host, port);
  bound = (server.address() as AddressInfo).port;
  // Browsers leave the usual port out.
  own = new Set(ownNames(host).map((name) => (bound === 80 ? name : `${name}:${bound}`)));
  const shown = host === "0.0.0.0" || host === "::" ? hostname() : host === "127.0.0.1" ? "localhost" : host;
  return {
    address: `http://${bracketed(shown)}:${bound}/${token === null ? "" : `?token=${token}`}`,
    port: bound,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const reasons: Readonly<Record<string, string>> = {
        EADDRINUSE: "another program listens there; choose another --port, or 0 for any free one",
        EACCES: "that is not allowed; choose a --port above 1023",
        EADDRNOTAVAIL: "this machine has no such address; choose another --host",
        ENOTFOUND: "no such name; choose another --host",
      };
      const words = reasons[error.code ?? ""] ?? error.message;
      reject(new IstaError("USAGE", `listen on ${bracketed(host)}:${port}: ${words}`));
    });
    server.listen(port, host, () => resolve());
  });
}
