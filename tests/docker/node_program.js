// A small MCP server (handshake era) on Node with holes, or with `mended` none; runs in any image with node.
const fs = require("fs"), path = require("path"), http = require("http"), dns = require("dns"), net = require("net");
const { exec, execFile } = require("child_process");
const mended = process.argv.includes("mended"), ROOT = "/tmp/notes";
fs.mkdirSync(ROOT, { recursive: true });
fs.writeFileSync(path.join(ROOT, "probe.txt"), "a note\n");

const get = (options) => new Promise((done, fail) => {
  const request = http.get(options, (answer) => {
    const { statusCode, headers } = answer;
    let text = "";
    answer.on("data", (part) => { text += part; });
    answer.on("end", () => done({ statusCode, headers, text }));
  });
  request.setTimeout(2000, () => request.destroy(new Error("late")));
  request.on("error", fail);
});
const inner = new net.BlockList();
for (const [start, size] of [["127.0.0.0", 8], ["10.0.0.0", 8], ["172.16.0.0", 12], ["192.168.0.0", 16], ["169.254.0.0", 16], ["0.0.0.0", 8]]) inner.addSubnet(start, size);
const only = (name, options, done) => dns.lookup(name, { family: 4 }, (error, address) => {
  const refused = error || (inner.check(address) ? new Error("refused") : null);
  return options.all ? done(refused, [{ address, family: 4 }]) : done(refused, address, 4);
});

const tools = {
  lookup: ["Look a host up.", "host", ({ host }) => new Promise((done) => {
    const said = (error, out, err) => done(`${out}${err}`);
    mended ? execFile("echo", ["looking up", host], said) : exec(`echo looking up ${host}`, { timeout: 3000 }, said);
  })],
  read_note: ["Read a note.", "name", ({ name }) => {
    const file = path.resolve(ROOT, name);
    if (mended && !fs.realpathSync(file).startsWith(ROOT + path.sep)) throw new Error("outside");
    if (!mended && !file.startsWith("/tmp/notes") && name.startsWith("/")) throw new Error("outside");
    return fs.readFileSync(file, "utf8");
  }],
  fetch_page: ["Fetch a page.", "url", async ({ url }) => {
    const parts = new URL(url);
    if (parts.protocol !== "http:") throw new Error("only http");
    if (!mended && ["localhost", "127.0.0.1", "169.254.169.254"].includes(parts.hostname)) throw new Error("refused");
    if (mended && net.isIP(parts.hostname.replace(/[[\]]/g, ""))) throw new Error("names only");
    const answer = await get(mended ? { host: parts.hostname, port: 80, path: parts.pathname, lookup: only } : parts);
    return answer.text;
  }],
  total: ["Work out a sum.", "formula", ({ formula }) => {
    if (mended && !/^[\d+*\/ ().-]+$/.test(formula)) throw new Error("numbers only");
    return String(new Function(`return ${formula}`)());
  }],
  welcome: ["Welcome somebody.", "name", ({ name }) => mended ? `Welcome ${name}` : new Function("return `Welcome " + name + "`")()],
};

async function answer({ method, params }) {
  if (method === "initialize") return { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: { name: "node", version: "1" } };
  if (method === "tools/list") return { tools: Object.entries(tools).map(([name, [description, field]]) => ({
    name, description, inputSchema: { type: "object", properties: { [field]: { type: "string" } }, required: [field] } })) };
  if (method !== "tools/call") return null;
  try {
    return { content: [{ type: "text", text: String(await tools[params.name][2](params.arguments)) }] };
  } catch (error) {
    return { content: [{ type: "text", text: String(error) }], isError: true };
  }
}
require("readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const request = JSON.parse(line);
  if (request.id === undefined) return;
  const result = await answer(request);
  const reply = result ? { result } : { error: { code: -32601, message: "unknown method" } };
  process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id: request.id, ...reply })}\n`);
});
