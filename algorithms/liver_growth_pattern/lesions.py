"""stub"""

CT, SEGMENTATION = "ct-image", "liver-metastasis-segmentation"
