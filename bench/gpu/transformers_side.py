"""transformers on the GPU, one static batch; tasks and results are lines of JSON."""
import json
import sys
import time

import torch
import transformers

model = transformers.AutoModelForCausalLM.from_pretrained(
    sys.argv[1], dtype=torch.bfloat16, attn_implementation="sdpa"
).to("cuda" if torch.cuda.is_available() else "mps").eval()
print(
    json.dumps({"name": f"transformers {transformers.__version__}", "device": str(model.device)}),
    flush=True,
)


def wait():
    (torch.cuda if model.device.type == "cuda" else torch.mps).synchronize()


def answer(prompts, length):
    ids = torch.tensor(prompts, device=model.device)
    wait()
    begin = time.perf_counter()
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            min_new_tokens=length,
            max_new_tokens=length,
            pad_token_id=0,
        )
    wait()
    return time.perf_counter() - begin, (out.shape[1] - ids.shape[1]) * ids.shape[0]


for line in sys.stdin:
    task = json.loads(line)
    short, _ = answer(task["short"], 1)
    whole, tokens = answer(task["long"], task["answer"])
    print(json.dumps({"short": short, "long": whole, "tokens": tokens}), flush=True)
