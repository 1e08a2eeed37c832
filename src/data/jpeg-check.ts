// Whether the data of a baseline JPEG are as many as the size in its header says. Decoders fill what is missing with grey and leave out
// what is too much, and say nothing. Its Huffman codes are walked through without making pixels of them (ITU T.81, annex F).

interface Component {
  readonly id: number;
  readonly horizontal: number;
  readonly vertical: number;
}

interface Frame {
  readonly height: number;
  readonly width: number;
  readonly components: readonly Component[];
}

/** For the next 16 bits of the data: length of the code that they begin with in the high byte, 0 for none, and its symbol. */
type HuffmanTable = Uint16Array;

const marker = { restart: 0xd0, end: 0xd9, scan: 0xda, restartInterval: 0xdd, huffman: 0xc4 } as const;
/** Sixteen coefficients that are zero; every other symbol without bits ends its block. */
const zeroRun = 0xf0;

/** Bytes that some cameras leave between the data and the next marker. */
const isPadding = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === bytes[0]);

function huffmanTable(counts: Uint8Array, symbols: Uint8Array): HuffmanTable {
  const table = new Uint16Array(65_536);
  let code = 0;
  let index = 0;
  for (let length = 1; length <= 16; length++) {
    for (let i = 0; i < counts[length - 1]; i++, code++)
      table.fill((length << 8) | symbols[index++], code << (16 - length), (code + 1) << (16 - length));
    code <<= 1;
  }
  return table;
}

/** Most pictures have the tables of the standard, which are made once. */
const known = new Map<string, HuffmanTable>();
const mostKnown = 32;

function tableOf(counts: Uint8Array, symbols: Uint8Array): HuffmanTable {
  const key = Buffer.concat([counts, symbols]).toString("latin1");
  const found = known.get(key) ?? huffmanTable(counts, symbols);
  if (known.size < mostKnown) known.set(key, found);
  return found;
}

/** The blocks of a scan's smallest unit, each with its tables, and how many such units there are. */
interface Scan {
  readonly blocks: readonly { readonly dc: HuffmanTable; readonly ac: HuffmanTable }[];
  readonly unitsPerRow: number;
  readonly rows: number;
}

/** Reads the codes of one stretch of data without restarts. */
class Stretch {
  private bits = 0;
  private bitCount = 0;
  /** Zeros that were put behind the end of the data. */
  private added = 0;

  constructor(
    private readonly bytes: Uint8Array,
    public position: number,
  ) {}

  /** Reads units until there are `count`, or the data end or make no sense; says how many there were. */
  units({ blocks }: Scan, count: number): number {
    for (let unit = 0; unit < count; unit++) {
      for (const { dc, ac } of blocks) {
        const category = this.symbol(dc);
        if (category < 0 || category > 15) return unit;
        this.skip(category);
        for (let coefficient = 1; coefficient < 64; coefficient++) {
          const symbol = this.symbol(ac);
          if (symbol < 0) return unit;
          if ((symbol & 15) === 0 && symbol !== zeroRun) break;
          coefficient += symbol >> 4;
          this.skip(symbol & 15);
        }
      }
      if (this.added > 0 && this.bitCount < this.added) return unit;
    }
    return count;
  }

  private fill(): void {
    while (this.bitCount < 16) {
      let byte = this.bytes[this.position];
      const isEnd = byte === undefined || (byte === 0xff && this.bytes[this.position + 1] !== 0);
      if (isEnd) {
        byte = 0;
        this.added += 8;
      } else this.position += byte === 0xff ? 2 : 1;
      this.bits = (this.bits << 8) | byte;
      this.bitCount += 8;
    }
  }

  /** The next symbol; -1 where the bits are no code. */
  private symbol(table: HuffmanTable): number {
    if (this.bitCount < 16) this.fill();
    const found = table[(this.bits >>> (this.bitCount - 16)) & 0xffff];
    if (found === 0) return -1;
    this.bitCount -= found >> 8;
    return found & 0xff;
  }

  private skip(count: number): void {
    if (this.bitCount < count) this.fill();
    this.bitCount -= count;
  }
}

/** Where the next marker begins, at or after a position; the end of the bytes where there is none. */
function nextMarker(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1))
    if (bytes[at + 1] !== 0 && bytes[at + 1] !== 0xff) return at;
  return bytes.length;
}

/** What is wrong with the data of a scan that begin at `from`, or null, and where they end. */
function checkScan(
  bytes: Uint8Array,
  from: number,
  scan: Scan,
  restartInterval: number,
): { problem: string | null; end: number } {
  const wanted = scan.unitsPerRow * scan.rows;
  let done = 0;
  let position = from;
  for (;;) {
    const part = restartInterval > 0 ? Math.min(restartInterval, wanted - done) : wanted - done;
    const stretch = new Stretch(bytes, position);
    const found = stretch.units(scan, part);
    done += found;
    const end = nextMarker(bytes, stretch.position);
    if (found < part) {
      const share = Math.floor((100 * done) / wanted);
      return {
        problem: `its header claims a larger size than its data have, which end or break off after ${share} % of it`,
        end,
      };
    }
    const isRestart = (bytes[end + 1] & 0xf8) === marker.restart;
    if (done < wanted && isRestart) {
      position = end + 2;
      continue;
    }
    if (done < wanted)
      return { problem: `its data break off after ${Math.floor((100 * done) / wanted)} % of it`, end };
    // Whole further rows of units mean that the header claims too little; a few bytes more mean nothing.
    const rest = bytes.subarray(stretch.position, end);
    const more =
      (isRestart && nextMarker(bytes, end + 2) > end + 2) ||
      (!isPadding(rest) && stretch.units(scan, scan.unitsPerRow) === scan.unitsPerRow);
    return { problem: more ? "its header claims a smaller size than its data have" : null, end };
  }
}

function readFrame(segment: Uint8Array): Frame {
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  const components = Array.from({ length: segment[5] }, (_, index) => {
    const at = 6 + 3 * index;
    return { id: segment[at], horizontal: segment[at + 1] >> 4, vertical: segment[at + 1] & 15 };
  });
  return { height: view.getUint16(1), width: view.getUint16(3), components };
}

/** The scan that a header announces; null where it names components or tables that are not there. */
function readScan(
  segment: Uint8Array,
  { height, width, components }: Frame,
  tables: ReadonlyMap<number, HuffmanTable>,
): Scan | null {
  const largest = (side: "horizontal" | "vertical"): number =>
    Math.max(...components.map((component) => component[side]));
  const parts = Array.from({ length: segment[0] }, (_, index) => {
    const component = components.find(({ id }) => id === segment[1 + 2 * index]);
    const selector = segment[2 + 2 * index];
    const [dc, ac] = [tables.get(selector >> 4), tables.get(16 + (selector & 15))];
    return component && dc && ac ? { component, dc, ac } : null;
  }).filter((part) => part !== null);
  if (parts.length === 0 || parts.length !== segment[0]) return null;
  const [{ component }] = parts;
  // A component alone has blocks as far as it reaches; several have units of as many blocks as their sampling says.
  const alone = parts.length === 1;
  const unit = (side: "horizontal" | "vertical"): number =>
    (8 * largest(side)) / (alone ? component[side] : 1);
  return {
    blocks: parts.flatMap(({ component: { horizontal, vertical }, dc, ac }) =>
      new Array<{ dc: HuffmanTable; ac: HuffmanTable }>(alone ? 1 : horizontal * vertical).fill({ dc, ac }),
    ),
    unitsPerRow: Math.ceil(width / unit("horizontal")),
    rows: Math.ceil(height / unit("vertical")),
  };
}

/**
 * What is wrong with the data of a JPEG, in words, or null. Only of baseline files (Huffman codes, one pass) is that known here:
 * of others, and of what is no JPEG, null comes as well.
 */
export function jpegProblem(bytes: Uint8Array): string | null {
  const tables = new Map<number, HuffmanTable>();
  let frame: Frame | null = null;
  let restartInterval = 0;
  for (let at = nextMarker(bytes, 2); at + 4 <= bytes.length; ) {
    const kind = bytes[at + 1];
    if (kind === marker.end) return null;
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    const segment = bytes.subarray(at + 4, at + 2 + length);
    let end = at + 2 + length;
    if (segment.length < 6 && (kind === 0xc0 || kind === 0xc1 || kind === marker.scan)) return null;
    if (kind === 0xc0 || kind === 0xc1) frame = readFrame(segment);
    else if (kind > 0xc1 && kind <= 0xcf && kind !== marker.huffman && kind !== 0xc8 && kind !== 0xcc)
      return null;
    else if (kind === marker.restartInterval) restartInterval = (segment[0] << 8) | segment[1];
    else if (kind === marker.huffman)
      for (let table = 0; table + 17 <= segment.length; ) {
        const counts = segment.subarray(table + 1, table + 17);
        const symbols = counts.reduce((sum, count) => sum + count, 0);
        tables.set(segment[table], tableOf(counts, segment.subarray(table + 17, table + 17 + symbols)));
        table += 17 + symbols;
      }
    else if (kind === marker.scan) {
      const scan = frame === null ? null : readScan(segment, frame, tables);
      if (scan === null) return null;
      const checked = checkScan(bytes, end, scan, restartInterval);
      if (checked.problem !== null) return checked.problem;
      end = checked.end;
    }
    at = nextMarker(bytes, end);
  }
  return null;
}
