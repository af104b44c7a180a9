// Reads a JSON array of {language, query} from stdin and prints, for each, where its grammar finds
// an error: an array of [from, to] in characters, empty for a query without one.
import { text } from "node:stream/consumers";

import { parser as logql } from "@grafana/lezer-logql";
import { parser as traceql } from "@grafana/lezer-traceql";

const PARSERS = { logql, traceql };

function errors({ language, query }) {
  const found = [];
  PARSERS[language].parse(query).iterate({
    enter(node) {
      if (node.type.isError) found.push([node.from, node.to]);
    },
  });
  return found;
}

const asked = JSON.parse(await text(process.stdin));
process.stdout.write(`${JSON.stringify(asked.map(errors))}\n`);
