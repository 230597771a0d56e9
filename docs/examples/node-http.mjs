// stomp-serve below /llm of a server of your own: `node docs/examples/node-http.mjs`, then
// curl localhost:8080/llm/v1/models
import { createServer as createHttpServer } from 'node:http';
import { Engine } from 'stomp-serve';
import { createServer } from 'stomp-serve/serve';

const prefix = '/llm';
const engine = await Engine.load('smollm2-135m');
const llm = createServer(engine, { model: 'smollm2-135m' });

const http = createHttpServer((request, response) => {
  if (request.url === '/') return response.end('Hello\n');
  if (!request.url?.startsWith(`${prefix}/`)) return response.writeHead(404).end();
  request.url = request.url.slice(prefix.length);
  llm.handler(request, response);
});
http.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${http.address().port}${prefix}/v1`);
});

process.once('SIGTERM', stop).once('SIGINT', stop);
async function stop() {
  http.close();
  await llm.close(); // lets running answers end, and leaves the engine to whoever loaded it
  http.closeIdleConnections(); // those of answers that have just ended
  await engine.close(); // saves every agent
}
