// node-postgres against the running gateway: one journey, told finding by finding, a line of JSON each.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.JOURNEY_MODULES + "/");
const pg = require("pg");
const Cursor = require("pg-cursor");
const { to: copyTo } = require("pg-copy-streams");

const settings = {
  host: process.env.JOURNEY_HOST,
  port: Number(process.env.JOURNEY_PORT),
  user: process.env.JOURNEY_USER,
  password: process.env.JOURNEY_PASSWORD,
  database: process.env.JOURNEY_DATABASE,
  ssl: { ca: readFileSync(process.env.JOURNEY_CA) },
  application_name: "journey",
};

const tell = (name, value) => console.log(JSON.stringify([name, value]));
const failure = async (promise) => {
  try {
    await promise;
    return null;
  } catch (error) {
    return { code: error.code, message: error.message, detail: error.detail, hint: error.hint };
  }
};
const ids = (result) => result.rows.map((row) => row.id);

const client = new pg.Client({ ...settings, enableChannelBinding: true });
const notices = [];
client.on("notice", (notice) => notices.push(notice.message));
await client.connect();

const everyone = "select id, email, salary from employees order by id";
tell("simple", (await client.query({ text: everyone, rowMode: "array" })).rows.map(String));
tell("fields", (await client.query("select * from employees limit 0")).fields.map((f) => [f.name, f.dataTypeID]));
tell("parameters", ids(await client.query("select id from employees where department = $1 and id > $2 order by id", ["IT", 0])));
tell("array parameter", ids(await client.query("select id from employees where id = any($1) order by id", [[1, 2, 3, 4, 5]])));
tell("date parameter", ids(await client.query("select id from employees where hired_on < $1 order by id", ["2020-01-01"])));
tell("null parameter", (await client.query("select $1::text is null as missing", [null])).rows);
// node-postgres decodes binary fields as UTF-8 before it reads them, so larger numbers come out wrong with any server.
tell("binary", ids(await client.query({ text: "select id from employees where id < $1 order by id", values: [100], binary: true })));

const named = { name: "by-department", text: "select id from employees where department = $1 order by id" };
tell("named", [ids(await client.query(named, ["IT"])), ids(await client.query(named, ["HR"])), ids(await client.query(named, ["IT"]))]);
tell("named refused", await failure(client.query({ name: "no", text: "select * from secrets where id = $1", values: [1] })));
tell("named afterwards", ids(await client.query(named, ["IT"])));
tell("deallocated", [(await client.query("deallocate all")).command, await failure(client.query(named, ["IT"]))]);

const several = await client.query("select 1 as a; select count(*)::int as n from employees; select 'x' as c");
tell("several", several.map((result) => result.rows[0]));

await client.query("begin");
const first = ids(await client.query("select id from employees order by id limit 1"));
await client.query("savepoint here");
const inside = [await failure(client.query("select * from secrets")), await failure(client.query("select 1"))];
await client.query("rollback to savepoint here");
const again = ids(await client.query("select id from employees order by id limit 1"));
tell("transaction", { inside: inside.map((error) => error.code), same: String(first) === String(again) });
tell("committed", (await client.query("commit")).command);
await client.query("begin isolation level repeatable read read only");
tell("isolation", (await client.query("show transaction_isolation")).rows);
await client.query("rollback");

tell("hidden column", await failure(client.query("select notes from employees")));
tell("write", await failure(client.query("delete from employees where id = $1", [1])));
tell("division", await failure(client.query("select 1 / $1::int", [0])));

const cursor = client.query(new Cursor("select id from employees order by id"));
const batches = [];
for (let rows = await cursor.read(10); rows.length; rows = await cursor.read(10)) batches.push(rows.map((row) => row.id));
await cursor.close();
tell("cursor", batches);

const stream = client.query(copyTo("copy (select id, email from employees order by id) to stdout csv header"));
let copied = "";
for await (const chunk of stream) copied += chunk;
tell("copy", copied.trim().split("\n"));

await client.query("select count(*) from employees where salary > 50000");
tell("notices", notices);
tell("application name", (await client.query("show application_name")).rows);
await client.end();

const pool = new pg.Pool({ ...settings, max: 3 });
const counted = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => pool.query("select $1::int as n, count(*)::int as all from employees", [n])));
tell("pool", counted.map((result) => [result.rows[0].n, result.rows[0].all]));
await pool.end();

const pipelined = new pg.Client(settings);
await pipelined.connect();
const queued = await Promise.allSettled([
  pipelined.query("select 1 as n"),
  pipelined.query("select * from secrets"),
  pipelined.query("select 3 as n"),
]);
tell("queued", queued.map((one) => (one.status === "fulfilled" ? one.value.rows[0].n : one.reason.code)));
await pipelined.end();

const stranger = new pg.Client({ ...settings, password: "wrong" });
tell("wrong pass", await failure(stranger.connect()));
