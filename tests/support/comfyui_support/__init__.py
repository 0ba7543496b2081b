"""What the tests of the ComfyUI plugin share: a real server, a stand-in for none, third-party plugins, the API page."""
