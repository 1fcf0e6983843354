"""Writes models/tests/fixtures/adapter/*.json: what `peft` computes for tiny models with adapters.

    python benches/accuracy/adapters.py models/tests/fixtures/adapter

The model is that of the decoder's fixture of the same name; the adapter's weights follow from its
tensors' names too. See fixtures.py.
"""

import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

import fixtures
import numpy as np
import reference

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {
    "llama": {"target_modules": ALL, "r": 4, "lora_alpha": 6},
    "qwen3": {
        "target_modules": ["q_proj", "down_proj"],
        "r": 8,
        "lora_alpha": 4,
        "use_rslora": True,
        "rank_pattern": {"down_proj": 2},
        "alpha_pattern": {"layers.1.mlp.down_proj": 1},
    },
    "phi3": {"target_modules": ["qkv_proj", "o_proj", "gate_up_proj"], "r": 4, "lora_alpha": 4},
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    ids = [int(x) for x in np.random.default_rng(1).integers(0, 40, fixtures.TOKENS)]
    for name, options in CASES.items():
        architecture, sizes, numbers, _, _, shape_options = fixtures.CASES[name]
        shapes = fixtures.tensors(sizes, **shape_options)
        values = {tensor: fixtures.weights(tensor, shape) for tensor, shape in shapes.items()}
        metadata = {f"{architecture}.{key}": value for key, value in (sizes | numbers).items()}
        metadata["general.architecture"] = architecture
        model = reference.model(metadata, values)
        bare = reference.logits(model, ids)
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
        tensors = {}
        for key, value in get_peft_model_state_dict(adapted).items():
            tensors[key] = list(value.shape)
        for key, parameter in adapted.named_parameters():
            stored = key.replace(".default", "")
            if stored in tensors:
                with torch.no_grad():
                    numbers = fixtures.weights(stored, tensors[stored])
                    parameter.copy_(torch.from_numpy(numbers))
        computed = reference.logits(model, ids)
        said = json.loads(json.dumps(adapted.peft_config["default"].to_dict(), default=sorted))
        fixture = {
            "config": {key: value for key, value in said.items() if value not in (None, {}, [])},
            "tensors": tensors,
            "spread": round(float(computed.std()), 6),
            "change": round(float(abs(computed - bare).max()), 6),
            "logits": {p: [round(float(x), 7) for x in computed[p]] for p in fixtures.POSITIONS},
        }
        text = json.dumps(fixture, indent=1).replace(",\n   ", ", ").replace("[\n   ", "[")
        (folder / f"{name}.json").write_text(text.replace("\n  ]", "]") + "\n")
        print(name, len(text), "bytes; the adapter changes logits by up to", fixture["change"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
