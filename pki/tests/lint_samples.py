#!/usr/bin/env python3
"""Lints certificates with pkilint, all in one process, and counts what it finds.

    python3 -m venv venv && venv/bin/pip install pkilint
    cargo run --example profile_samples -- samples 1000
    venv/bin/python pki/tests/lint_samples.py samples manufacturer-device
"""

import collections
import pathlib
import sys

from pkilint import loader
from pkilint.pkix import certificate, extension, name

directory, prefix = pathlib.Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
validator = certificate.create_pkix_certificate_validator_container(
    certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
    [
        certificate.create_issuer_validator_container([]),
        certificate.create_validity_validator_container(),
        certificate.create_subject_validator_container([]),
        certificate.create_extensions_validator_container([]),
        certificate.create_spki_validator_container([]),
    ],
)

paths = sorted(directory.glob(f"{prefix}*.pem"))
found = collections.Counter()
for path in paths:
    document = loader.load_pem_certificate(path.read_text(), path.name)
    for result in validator.validate(document.root):
        for description in result.finding_descriptions:
            found[f"{description.finding.severity.name} {description.finding.code}"] += 1

print(f"{len(paths)} certificates")
for finding, count in found.most_common():
    print(f"{count:6} {finding}")
serious = any(not finding.startswith("INFO") for finding in found)
sys.exit(1 if serious or not paths else 0)
