"""MMSRL: multi-modal spatial representation learning."""
