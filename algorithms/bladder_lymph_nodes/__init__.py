"""Lymph node metastasis of bladder cancer, from contrast CT and segmented pelvic lymph nodes."""
