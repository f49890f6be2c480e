"""Writes tasks for Label Studio (labelstud.io): the JSON that it imports, and its labelling interface.

`answers.label_studio` reads the export of Label Studio.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from real_labels import files
from real_labels.rating.tasks import Task

# Label Studio repeats the <Repeater> for each question of a task; the answers are named answer_0, answer_1, …
_INTERFACE = """<View style="display: flex; align-items: flex-start">
  <View style="flex: 3; position: sticky; top: 0">
    <Image name="image" value="$image" zoom="true"/>
  </View>
  <View style="flex: 2; padding-left: 1em">
    <Repeater on="$questions" indexFlag="{{{{idx}}}}">
      <Header value="$questions[{{{{idx}}}}].name" size="4"/>
      <Header value="$questions[{{{{idx}}}}].description" size="6"/>
      <Choices name="answer_{{{{idx}}}}" toName="image" choice="single-radio" showInline="true"
          required="true">
{choices}
      </Choices>
    </Repeater>
    <Header value="$others" size="6"/>
  </View>
</View>
"""


def interface(categories: Sequence[str]) -> str:
    """Returns the labelling interface (XML), with a row of choices for each question.

    Args:
      categories: the possible answers, from "surely absent" to "surely present".
    """
    choices = (f"        <Choice value={quoteattr(category)}/>" for category in categories)
    return _INTERFACE.format(choices="\n".join(choices))


def as_json(task: Task, image_url: str) -> dict[str, Any]:
    """Returns a task as the JSON object that Label Studio imports.

    Args:
      task: the task; without names, each label is named by its class index.
      image_url: address of the images' folder.
    """
    names = task.names or tuple(f"class {label}" for label in task.labels)
    descriptions = task.descriptions or ("",) * len(task.labels)
    shown = list(zip(task.labels, names, descriptions, strict=True))
    others = ", ".join(name for label, name, _ in shown if label not in task.ask)
    return {
        "data": {
            "task": task.task,
            "file_name": task.file_name,
            "image": _folder(image_url) + urllib.parse.quote(task.file_name),
            "questions": [
                {"label": label, "name": name, "description": description}
                for label, name, description in shown
                if label in task.ask
            ],
            "others": f"For comparison, no answer needed: {others}" if others else "",
        }
    }


def _folder(url: str) -> str:
    """Returns the address with a final slash, unless it ends in "/" or "=" (as "…?d=" does)."""
    return url if url.endswith(("/", "=")) else f"{url}/"


def save(path: str | os.PathLike[str], tasks: Iterable[Task], image_url: str) -> None:
    """Writes the JSON that Label Studio imports, atomically."""
    files.write_json(path, [as_json(task, image_url) for task in tasks], indent=1)
