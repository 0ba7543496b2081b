"""Graphs of the nodes as a browser sends them, and what the server says of one."""

from comfyui_support import server as comfy_server


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def chosen(info, kind, role, name, **changes):
    """The inputs that a browser sends for a drop-down: the choice, and the defaults of its options."""
    options = info[f"VersaSound_{kind}"]["input"]["required"][role][1]["options"]
    widgets = next(option for option in options if option["key"] == name)["inputs"]["required"]
    values = {key: about["default"] for key, (_, about) in widgets.items()}
    return {role: name, **{f"{role}.{key}": value for key, value in {**values, **changes}.items()}}


def defaults(info, kind, **changes):
    """The inputs of a node as it is when it is new."""
    made = {}
    for key, (type_, about) in info[f"VersaSound_{kind}"]["input"]["required"].items():
        if type_ == "COMFY_DYNAMICCOMBO_V3":
            made |= chosen(info, kind, key, about["options"][0]["key"])
        elif "default" in about:
            made[key] = about["default"]
    return {**made, **changes}


def add_sound(info, clip="scene.mp4", **changes):
    return {
        "1": node("LoadVideo", file=clip),
        "2": node("VersaSound_AddSoundToVideo", video=["1", 0], **defaults(info, "AddSoundToVideo", **changes)),
        "3": node("SaveVideo", video=["2", 0], filename_prefix="made", format="auto", codec="auto"),
    }


def refused(server, workflow):
    """What the server says of a workflow that it does not run."""
    status, answer = server.post("prompt", {"prompt": workflow})
    assert status == 400
    return " ".join(e["message"] + ": " + e["details"] for n in answer["node_errors"].values() for e in n["errors"])


def failed(server, workflow):
    """What a person is shown of a workflow that fails while it runs."""
    entry = server.run(workflow)
    assert entry["status"]["status_str"] == "error"
    return comfy_server.messages(entry)
