"""Names of the nodes and outputs of the graphs that this program writes."""
from __future__ import annotations

# Names of a classifier's outputs in every exported file that names them; the .pb calls its probabilities as
# `final_tensor_name` says.
PROBABILITIES, UNKNOWN_SCORE = "probabilities", "unknown_score"
# Scopes of the pretrained network, of the new layer (the name of TensorFlow for Poets) and of the unknown score.
MODULE_SCOPE, HEAD_SCOPE, UNKNOWN_SCOPE = "module", "final_training_ops", "unknown"
LOGITS = "logits"
