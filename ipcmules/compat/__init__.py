"""What lets a uWSGI application run unchanged. So far: the reader of its ini files."""
