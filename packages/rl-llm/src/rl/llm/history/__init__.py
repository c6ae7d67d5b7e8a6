"""Conversations: messages, chat templates, and the way to text and tokens and back."""

from rl.llm.history.history import ChatHistory, History
from rl.llm.history.rendering import encode_chat, render_chat
from rl.llm.history.templates import add_chat_template, get_chat_template

__all__ = [
    "ChatHistory",
    "History",
    "add_chat_template",
    "encode_chat",
    "get_chat_template",
    "render_chat",
]
