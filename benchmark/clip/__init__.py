"""Any registered clipping in any PyTorch loop: one line after the optimizer is made.

The strategy is the suite's own object, so that what a study measured is what a loop gets.

>>> import torch
>>> from benchmark import clip
>>> model = torch.nn.Linear(2, 1)
>>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
>>> guard = clip.attach(optimizer, "global_norm", threshold=1.0)
>>> model(torch.full((4, 2), 100.0)).sum().backward()
>>> optimizer.step()
>>> guard.log[["step", "clipped"]].to_dict("records")
[{'step': 1, 'clipped': True}]
"""

from benchmark.clip.guard import Guard, attach

__all__ = ["Guard", "attach"]
