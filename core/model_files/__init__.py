"""What lies in the folder of a model, read without a library and without its weights."""
