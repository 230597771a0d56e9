// stomp-serve in an Express application: `node docs/examples/express.mjs`, then
// curl localhost:8080/llm/v1/models
import express from 'express';
import { Engine } from 'stomp-serve';
import { createServer } from 'stomp-serve/serve';

const engine = await Engine.load('smollm2-135m');
const llm = createServer(engine, { model: 'smollm2-135m' });

const app = express();
app.get('/', (_, response) => response.send('Hello\n'));
app.use('/llm', llm.handler); // before or after express.json(), either works
const http = app.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${http.address().port}/llm/v1`);
});

process.once('SIGTERM', stop).once('SIGINT', stop);
async function stop() {
  http.close();
  await llm.close(); // lets running answers end, and leaves the engine to whoever loaded it
  http.closeIdleConnections(); // those of answers that have just ended
  await engine.close(); // saves every agent
}
