// Trino's own grammar, as ANTLR made a reader of it for JavaScript: of each line, a JSON string, the faults of its text.
import { register } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// the package was made for bundlers: its modules name one another without their endings
const resolve = `export const resolve = (name, context, next) => next(name).catch(() => next(name + ".js", context));`;
register("data:text/javascript," + encodeURIComponent(resolve.replace("next(name)", "next(name, context)")));

const modules = pathToFileURL(process.env.JOURNEY_MODULES + "/");
const { CharStreams, CommonTokenStream } = await import(new URL("antlr4ng/dist/index.mjs", modules));
const made = new URL("dt-sql-parser/dist/lib/trino/", modules);
const { TrinoSqlLexer } = await import(new URL("TrinoSqlLexer.js", made));
const { TrinoSqlParser } = await import(new URL("TrinoSqlParser.js", made));

function faults(text) {
  const found = [];
  const listener = {
    syntaxError: (_reader, _at, line, column, message) => found.push(`${line}:${column} ${message}`),
    reportAmbiguity() {}, reportAttemptingFullContext() {}, reportContextSensitivity() {},
  };
  const lexer = new TrinoSqlLexer(CharStreams.fromString(text));
  const parser = new TrinoSqlParser(new CommonTokenStream(lexer));
  for (const one of [lexer, parser]) {
    one.removeErrorListeners();
    one.addErrorListener(listener);
  }
  parser.program();
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(faults(JSON.parse(line))));
}
