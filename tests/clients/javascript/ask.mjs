// Does one thing with one JavaScript client and tells in JSON what came of it: `node ask.mjs PACKAGE HOST:PORT VERB WORD…`.
// The packages lie where TIDEMARK_NODE_MODULES says. BigInts are told as text; a failure is told as {"refused": message}.

import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

const CANCEL_TRIES = 200;
const CANCELLED = 1;

const require = createRequire(path.join(process.env.TIDEMARK_NODE_MODULES, "..", "package.json"));
const [name, address, verb, ...words] = process.argv.slice(2);
const [host, port] = address.split(":");

const plain = (rows) => rows.map((row) => row.toJSON());
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Firetiger's client and GizmoData's fork of it: one class, one way to ask. */
const flightSqlClient = (password) => {
  const { FlightSQLClient } = require(name);
  return new FlightSQLClient({ host, port: Number(port), plaintext: true, token: password });
};

const connected = async (password = "anything") => {
  const client = flightSqlClient(password);
  await client.connect();
  return client;
};

/** Reads an endless answer by the client's own calls until another client cancels the flight. */
const cancelled = async (sql) => {
  const { CancelFlightInfoRequest, CancelFlightInfoResult, Action } = require(`${name}/dist/generated/proto/Flight_pb.js`);
  const { CommandStatementQuery } = require(`${name}/dist/generated/proto/FlightSql_pb.js`);
  const [reader, other] = [await connected(), await connected()];
  const query = new CommandStatementQuery();
  query.setQuery(sql);
  const descriptor = reader.createCommandDescriptor(query, reader.constructor.TYPE_URLS.COMMAND_STATEMENT_QUERY);
  const info = await reader.getFlightInfo(descriptor);
  const reading = reader.doGet(info.getEndpointList()[0].getTicket()).then(() => "ended", (error) => error.code);

  const request = new CancelFlightInfoRequest();
  request.setInfo(info);
  const action = new Action();
  action.setType("CancelFlightInfo");
  action.setBody(request.serializeBinary());
  for (let tries = 0; tries < CANCEL_TRIES; tries += 1) {
    // Until the flight has begun there is nothing of this name to cancel.
    const [result] = await other.doAction(action).catch(() => []);
    if (result && CancelFlightInfoResult.deserializeBinary(result.getBody_asU8()).getStatus() === CANCELLED) {
      return { reader: await reading };
    }
    await after(50);
  }
  throw new Error("nothing was cancelled");
};

const flightSql = {
  tables: async (schema) => (await connected()).getTables(undefined, schema),
  query: async (sql) => plain((await (await connected()).execute(sql)).toArray()),
  types: async (sql) => (await (await connected()).execute(sql)).schema.fields.map((field) => `${field.name}: ${field.type}`),
  login: async (token) => plain((await (await connected(token)).execute("SELECT 'in' AS word")).toArray()),
  again: async (refused, sql) => {
    const client = await connected();
    const said = await client.execute(refused).then(() => "", (error) => error.message);
    return { said, then: plain((await client.execute(sql)).toArray()) };
  },
  infos: async () => [...(await (await connected()).getSqlInfo([0, 3]))],
  cancel: cancelled,
};

const lancedb = {
  query: async (sql, defaultDatabase, password) => {
    const { Client } = require(name);
    const client = await Client.connect({ host: address, username: "anyone", password, defaultDatabase, insecure: true });
    return plain(await (await client.query(sql)).collectToObjects());
  },
};

const spice = {
  bind: async (sql, values) => {
    const { SpiceClient } = require(name);
    const client = new SpiceClient({ flightUrl: address, flightTlsEnabled: false, flightOnly: true, logging: false });
    return plain((await client.sql(sql, { parameters: JSON.parse(values) })).toArray());
  },
};

const clients = {
  "@firetiger-oss/flight-sql-client": flightSql,
  "@gizmodata/gizmosql-client": flightSql,
  "@lancedb/arrow-flight-sql-client": lancedb,
  "@spiceai/spice": spice,
};

const told = await clients[name][verb](...words).catch((error) => ({ refused: error.message }));
const text = JSON.stringify(told, (_, value) => (typeof value === "bigint" ? `${value}` : value));
// Some of the clients keep their connections open for ever.
process.stdout.write(`${text}\n`, () => process.exit(0));
