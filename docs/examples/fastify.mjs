// stomp-serve as a plug-in of a Fastify application: `node docs/examples/fastify.mjs`, then
// curl localhost:8080/llm/v1/models
import Fastify from 'fastify';
import { Engine } from 'stomp-serve';
import { createServer } from 'stomp-serve/serve';

const engine = await Engine.load('smollm2-135m');
const llm = createServer(engine, { model: 'smollm2-135m' });

const app = Fastify();
app.get('/', () => 'Hello\n');
app.register(llm.plugin, { prefix: '/llm' }); // closing the application lets running answers end
app.addHook('onClose', () => engine.close()); // saves every agent
console.log(`${await app.listen({ port: Number(process.env.PORT ?? 8080) })}/llm/v1`);

process.once('SIGTERM', () => app.close()).once('SIGINT', () => app.close());
