"""The growth pattern of colorectal liver metastases on CT, pure and mixed."""
