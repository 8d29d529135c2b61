"""A VEP REST server on loopback that speaks the documented shapes, and misbehaves when a test wants it to."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[["Handler"], None]


@dataclass
class VepServer:
    """What the server says and what it heard. `script` holds misbehaviours for the next calls, the first one first."""

    url: str = ""
    assembly: str = "GRCh38"
    release: int = 115
    script: list[Reply] = field(default_factory=list)
    heard: list[tuple[str, str, Any]] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)  # ALT alleles that end a call with 400
    forgets: set[str] = field(default_factory=set)  # ALT alleles left out of a batch, refused alone
    batch_max: int = 200

    def calls(self, path: str) -> list[tuple[str, str, Any]]:
        return [one for one in self.heard if path in one[1]]

    def asked(self) -> list[list[str]]:
        """The variants of each POST."""
        return [body["variants"] for method, _, body in self.heard if method == "POST"]


@contextmanager
def vep_server() -> Iterator[VepServer]:
    state = VepServer()

    class Bound(Handler):
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each small answer waits 40 ms
    server_state: VepServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Quiet."""

    def do_GET(self) -> None:
        self._handle(None)

    def do_POST(self) -> None:
        self._handle(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _handle(self, body: Any) -> None:
        state = self.server_state
        state.heard.append((self.command, self.path, body))
        if state.script:
            state.script.pop(0)(self)
        elif self.path.startswith("/info/software"):
            self.say(200, {"release": state.release})
        elif self.path.startswith("/info/assembly/"):
            self.say(200, {"assembly_name": f"{state.assembly}.p14", "default_coord_system_version": state.assembly})
        elif "/hgvs/" in self.path:
            self._hgvs()
        else:
            self._region(body["variants"])

    def _hgvs(self) -> None:
        if "nonsense" in self.path:
            self.say(400, {"error": "Could not parse the HGVS notation nonsense"})
        else:
            self.say(200, [{**result("1", 100, "x", "A", "G"), "id": "asked", "input": "asked"}])

    def _region(self, variants: list[str]) -> None:
        state = self.server_state
        if len(variants) > state.batch_max:
            self.say(413, {"error": "POST body too large"})
            return
        rows = [line.split(" ") for line in variants]
        refused = next((row for row in rows if row[4] in state.refuses), None)
        if refused or (len(rows) == 1 and rows[0][4] in state.forgets):
            self.say(400, {"error": f"Could not get an allele for {variants[0]}"})
            return
        answers = [result(c, int(p), i, r, a) for c, p, i, r, a, *_ in rows if a not in state.forgets]
        self.say(200, answers[::-1])  # the order is not promised

    def say(self, status: int, content: Any, **headers: str) -> None:
        octets = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(octets)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(octets)


def result(contig: str, position: int, name: str, ref: str, alt: str) -> dict[str, Any]:
    """One element of the answer, in Ensembl's shape; the facts are made up."""
    allele = alt if len(ref) == len(alt) else alt[1:] or "-"
    return {
        "id": name,
        "input": f"{contig} {position} {name} {ref} {alt} . . .",
        "assembly_name": "GRCh38",
        "seq_region_name": contig,
        "start": position,
        "end": position,
        "strand": 1,
        "allele_string": f"{ref}/{alt}",
        "most_severe_consequence": "missense_variant",
        "transcript_consequences": [
            {
                "transcript_id": "ENST00000366667.6",
                "gene_id": "ENSG00000135744",
                "gene_symbol": "AGT",
                "gene_symbol_source": "HGNC",
                "hgnc_id": "HGNC:333",
                "biotype": "protein_coding",
                "variant_allele": allele,
                "consequence_terms": ["missense_variant", "splice_region_variant"],
                "impact": "MODERATE",
                "strand": -1,
                "exon": "2/5",
                "hgvsc": "ENST00000366667.6:c.803T>C",
                "hgvsp": "ENSP00000355627.5:p.Met268Thr",
                "cdna_start": 1018,
                "cdna_end": 1018,
                "cds_start": 803,
                "protein_start": 268,
                "protein_end": 268,
                "amino_acids": "M/T",
                "codons": "aTg/aCg",
                "canonical": 1,
                "mane_select": "NM_001384479.1",
                "tsl": 1,
                "polyphen_score": 0.0,
            },
            {
                "transcript_id": "ENST00000412344",
                "gene_id": "ENSG00000135744",
                "biotype": "protein_coding",
                "variant_allele": allele,
                "consequence_terms": ["downstream_gene_variant"],
                "impact": "MODIFIER",
                "distance": 650,
                "flags": ["cds_start_NF", "cds_end_NF"],
                "strand": -1,
            },
        ],
        "colocated_variants": [
            {
                "id": "rs699",
                "allele_string": f"{ref}/{alt}",
                "clin_sig": ["benign", "risk_factor"],
                "clin_sig_allele": f"{allele}:benign;{allele}:risk_factor;OTHER:pathogenic",
                "frequencies": {allele: {"gnomade": 0.4105, "gnomadg": 5.5e-05, "af": 0.7}},
            },
            {"id": "CM920010", "allele_string": "HGMD_MUTATION", "start": position},
        ],
    }


# ---- misbehaviours for `script`


def saying(status: int, content: Any = None, **headers: str) -> Reply:
    return lambda handler: handler.say(status, content if content is not None else {"error": "no"}, **headers)


def hanging_up(handler: Handler) -> None:
    """No answer at all."""
    handler.close_connection = True


def cut(handler: Handler) -> None:
    """Half an answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'[{"id": "v0"')
    handler.close_connection = True


def slow(seconds: float) -> Reply:
    def reply(handler: Handler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return reply
