"""What pages send to the app, for tests without a browser."""

from typing import Any

import httpx


def joined(app: httpx.Client, function: int, data: list[Any]) -> str:
    """What Gradio's queue answers to data that a page sends."""
    session = "0123456789a"
    body = {"data": data, "fn_index": function, "session_hash": session, "trigger_id": None, "event_data": None}
    answer = app.post("/gradio_api/queue/join", json=body)
    if answer.status_code != 200:
        return answer.text
    said = ""
    with app.stream("GET", f"/gradio_api/queue/data?session_hash={session}") as stream:
        for line in stream.iter_lines():
            said += line
            if "process_completed" in line or "close_stream" in line:
                break
    return said
