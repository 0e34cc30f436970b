"""Forms of what comes in and goes out: OpenAI's wire, decisions, the page's WebSocket."""
