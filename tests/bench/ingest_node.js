// ingest_node.js -- the peer of tests/bench/ingest in Node: checks the signature, answers 200, keeps nothing.
//   node ingest_node.js PORT SECRET
const { createHmac, timingSafeEqual } = require("node:crypto");
const [port, secret] = process.argv.slice(2);

require("node:http").createServer((request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("end", () => {
    const want = Buffer.from("sha256=" + createHmac("sha256", secret).update(Buffer.concat(pieces)).digest("hex"));
    const got = Buffer.from(request.headers["x-hub-signature-256"] ?? "");
    response.writeHead(want.length === got.length && timingSafeEqual(want, got) ? 200 : 401).end();
  });
}).listen(Number(port), "127.0.0.1");
