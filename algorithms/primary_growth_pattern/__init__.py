"""Growth pattern of colorectal liver metastases from the slide of the primary tumour."""
