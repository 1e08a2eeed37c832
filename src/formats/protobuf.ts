// Messages of protocol buffers, from a table of their fields.
import protobuf from "protobufjs/light.js";

export type Field = readonly [id: number, type: string, rule?: "repeated" | "map"];

/**
 * @param messages fields by message, with the numbers of the published definition; a map is one from texts
 */
export const messageTypes = (
  messages: Readonly<Record<string, Readonly<Record<string, Field>>>>,
): protobuf.Root =>
  protobuf.Root.fromJSON({
    nested: Object.fromEntries(
      Object.entries(messages).map(([message, fields]) => [
        message,
        {
          fields: Object.fromEntries(
            Object.entries(fields).map(([name, [id, type, rule]]) => [
              name,
              rule === "map"
                ? { id, type, keyType: "string" }
                : { id, type, ...(rule === undefined ? {} : { rule }) },
            ]),
          ),
        },
      ]),
    ),
  });
