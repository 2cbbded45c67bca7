"""The generated messages are those of cri.proto."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

import k8sdoctor
from k8sdoctor.host import cri_pb2

ROOT = Path(k8sdoctor.__file__).parents[1]  # the file ships with the package
NAME = "k8sdoctor/host/cri.proto"


def test_the_generated_messages_are_those_of_the_proto_file(tmp_path: Path) -> None:
    out = tmp_path / "set"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT}", f"--descriptor_set_out={out}", NAME]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    [wanted] = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    for message in wanted.message_type:
        for each in (message, *message.nested_type):
            for field in each.field:
                field.ClearField("json_name")  # derived from the name

    found = descriptor_pb2.FileDescriptorProto()
    cri_pb2.DESCRIPTOR.CopyToProto(found)

    assert found == wanted, "make cri_pb2.py again, by `make proto`"
