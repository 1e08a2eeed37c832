// What a drawing shows of a cell, whatever the space: terminals, nodes, and the operations that lead to them.

/** An operation on its way to a node. */
export interface SketchedConnection {
  readonly operation: string;
  /** Behind the operation's name, such as " /2" for stride 2. */
  readonly suffix: string;
  /** Index among the inputs and nodes of the cell: inputs first. */
  readonly from: number;
}

export interface SketchedNode {
  /** What stands in the node's circle, such as "2". */
  readonly label: string;
  readonly connections: readonly SketchedConnection[];
}

/** A text with a subscript, such as c with k-2; the subscript may be empty. */
export interface TerminalLabel {
  readonly text: string;
  readonly subscript: string;
}

export interface CellSketch {
  /** Such as "Normal cell". */
  readonly title: string;
  /** Behind the title, such as "keeps the size". */
  readonly note: string;
  readonly inputs: readonly TerminalLabel[];
  readonly nodes: readonly SketchedNode[];
  readonly output: TerminalLabel;
  /** Which inputs and nodes the output is made of. */
  readonly outputFrom: readonly number[];
  /** How nodes and output are made, such as "concatenated". */
  readonly outputNote: string;
}

/** Fill and text colour of an operation in drawings. */
export interface OperationColour {
  readonly fill: string;
  readonly ink: string;
}
