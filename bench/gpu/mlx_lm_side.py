"""mlx-lm's batches; tasks and results are lines of JSON."""
import json
import sys
import time

import mlx.core as mx
import mlx_lm

model, tokenizer = mlx_lm.load(sys.argv[1])
# Answers are as long as they are asked for.
tokenizer.eos_token_ids = set()
print(
    json.dumps({"name": f"mlx-lm {mlx_lm.__version__}", "device": str(mx.default_device())}),
    flush=True,
)


def answer(prompts, length):
    begin = time.perf_counter()
    response = mlx_lm.batch_generate(model, tokenizer, prompts, max_tokens=length, verbose=False)
    return time.perf_counter() - begin, response.stats.generation_tokens


for line in sys.stdin:
    task = json.loads(line)
    short, _ = answer(task["short"], 1)
    whole, tokens = answer(task["long"], task["answer"])
    print(json.dumps({"short": short, "long": whole, "tokens": tokens}), flush=True)
