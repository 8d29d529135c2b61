"""One request in, one result out: through the handler, and through the consume loop on a log in memory."""

import gzip
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genescale.clock import ManualClock
from genescale.events import envelope
from genescale.events.analysis_data import AnalysisRequest, AnalysisResult, ObjectReference, SyntheticSequence
from genescale.events.catalogue import CATALOGUE, new_event
from genescale.events.envelope import Event, derive_id
from genescale.events.failure import crashed, failure_of
from genescale.events.log import append_now
from genescale.events.memory import MemoryLog
from genescale.events.runner import LoopSettings, Runner
from genescale.events.topics import RESULTS, TOPICS
from genescale.genomics import mito
from genescale.genomics.references import References
from genescale.security.keys import FileKeys
from genescale.security.sealing import NotOpened, ProjectSealer, bound_to
from genescale.store.object_port import ObjectReference as Stored
from genescale.store.object_port import ObjectsUnavailable
from genescale.store.objects import open_objects
from genescale.worker.answer import OUTPUT_BOUND
from genescale.worker.deps import OpenReferences, WorkerDeps
from genescale.worker.handler import failed, handle, subscription

TOPIC = "genetic-data-raw"
NOW = "2026-11-21T10:00:00.000Z"


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> OpenReferences:
    return OpenReferences(References(tmp_path_factory.mktemp("none")))


@pytest.fixture
def deps(references: OpenReferences) -> WorkerDeps:
    return WorkerDeps(references, ManualClock())


def request(number: int = 1, **data: Any) -> Event:
    analysis = derive_id("test", str(number))
    extensions = {
        "partitionkey": analysis,
        "projectid": "p1",
        "sessionid": "s1",
        "revision": 1,
        "priority": 5,
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    }
    wanted = AnalysisRequest(**data)
    return new_event(
        wanted, id=derive_id(analysis, "request"), source="/test", time=NOW, subject=analysis, extensions=extensions
    )


def result(event: Event) -> AnalysisResult:
    CATALOGUE.validate(event, topic=RESULTS)
    return CATALOGUE.read(event, AnalysisResult)


def answer(deps: WorkerDeps, **data: Any) -> AnalysisResult:
    return result(handle([request(**data)], deps)[0])


def test_one_variant_through_the_loop(deps: WorkerDeps) -> None:
    clock = ManualClock()
    log = MemoryLog(clock)
    log.create_topics(TOPICS)
    asked = request(variants=["m.3243A>G"])
    append_now(log, [envelope.to_record(asked, TOPIC)])
    runner = Runner(log, subscription("normal", deps), LoopSettings(), clock, version="test", seed=1)
    for _ in range(3):
        runner.step(0.0)
    runner.close()
    records = list(read_all(log))
    assert len(records) == 1
    event = envelope.from_record(records[0])
    assert event.subject == asked.subject
    assert event.extensions["correlationid"] == asked.id
    found = result(event)
    assert found.status == "success"
    one = found.annotations[0]
    assert one["variant"]["hgvsg"] == "NC_012920.1:m.3243A>G"
    assert one["known"]["clinvar"]["significance"] == "Pathogenic"


def test_an_answer_says_which_try_it_took(deps: WorkerDeps) -> None:
    clock = ManualClock()
    log = MemoryLog(clock)
    log.create_topics(TOPICS)
    objects = open_objects("memory://", clock)
    deps.objects = Hesitant(objects)
    asked = request(input=upload(deps, b"m.3243A>G\n"))
    append_now(log, [envelope.to_record(asked, TOPIC)])
    runner = Runner(log, subscription("normal", deps), LoopSettings(), clock, version="test", seed=1)
    for _ in range(5):
        runner.step(0.0)
        clock.advance(60)
    runner.close()
    (record,) = read_all(log)
    found = result(envelope.from_record(record))
    assert (found.status, found.measured.attempt) == ("success", 2)


class Hesitant:
    """An object store that does not answer the first time."""

    def __init__(self, objects: Any) -> None:
        self._objects = objects
        self._asked = 0

    def put(self, content: bytes, **options: Any) -> Any:
        return self._objects.put(content, **options)

    def get(self, reference: Any) -> bytes:
        self._asked += 1
        if self._asked == 1:
            raise ObjectsUnavailable("it does not answer")
        return self._objects.get(reference)


def read_all(log: MemoryLog) -> Iterator[Any]:
    consumer = log.consumer(
        "reader", (RESULTS,), outputs=(), on_assigned=lambda _: None, on_revoked=lambda _: None, on_lost=lambda _: None
    )
    for _ in range(5):
        yield from consumer.poll(100, 0.0)
    consumer.close()


# ---- names of variants ----


@pytest.mark.parametrize(
    "name",
    ["m.3243A>G", "chrM-3243-A-G", "MT:3243:A:G", "NC_012920.1:m.3243A>G", "NC_012920.1:3242:A:G", "rs199474657"],
)
def test_every_spelling_gives_the_same_variant(deps: WorkerDeps, name: str) -> None:
    found = answer(deps, variants=[name])
    assert found.status == "success"
    (one,) = found.annotations
    assert one["input"] == name
    variant = one["variant"]
    assert (variant["contig"], variant["position"], variant["ref"], variant["alt"]) == ("MT", 3243, "A", "G")
    assert variant["spdi"] == "NC_012920.1:3242:A:G"
    assert variant["vrs_id"].startswith("ga4gh:VA.")
    assert one["reference"] == "mitochondrion"
    assert one["most_severe"] == "non_coding_transcript_exon_variant"


@pytest.mark.parametrize("name", ["m.3243A>G", "chrM-3243-A-G", "NC_012920.1:m.8993T>G", "NC_000017.11:g.43124027A>G"])
def test_the_quick_way_to_read_a_name_answers_as_the_grammar_does(
    deps: WorkerDeps, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    quick = answer(deps, variants=[name])
    monkeypatch.setattr("genescale.worker.stages._PLAIN_MAX", 0)
    slow = answer(deps, variants=[name])
    assert msgspec.structs.replace(quick, measured=slow.measured) == slow


def test_a_deletion_in_a_nuclear_gene(deps: WorkerDeps) -> None:
    found = answer(deps, variants=["NM_007294.3:c.68_69del"])
    (one,) = found.annotations
    assert one["reference"] == "clinical-panel"
    assert one["impact"] == "HIGH"
    picked = next(row for row in one["consequences"] if row.get("pick"))
    assert (picked["gene"], picked["hgvsp"]) == ("BRCA1", "NP_009225.1:p.Glu23ValfsTer17")
    assert one["variant"]["ref"] == "ACT"
    assert one["assessment"]["method"] == "rule-based baseline"
    assert one["assessment"]["priority"] == 5
    assert any("BRCA1" in sentence for sentence in one["explanation"])
    assert found.versions["bundle"] == "mitochondrion+clinical-panel"
    assert found.versions["models"] == "none"


def test_one_bad_variant_makes_the_answer_partial_and_is_named(deps: WorkerDeps) -> None:
    found = answer(deps, variants=["m.3243A>G", "m.3243C>G", "nonsense", "chr1-5-A-G"])
    assert found.status == "partial"
    assert len(found.annotations) == 1
    told = [(one.code, one.place) for one in found.errors]
    assert told == [("REF_MISMATCH", "variant 2"), ("UNKNOWN_FORM", "variant 3"), ("OUTSIDE_REFERENCE", "variant 4")]
    assert found.summary["problems"] == 3


def test_messages_quote_nothing_of_the_input_and_details_may(deps: WorkerDeps) -> None:
    found = answer(deps, variants=["m.3243CCGATTTACGG>G", "a_name_that_nobody_knows"])
    assert found.status == "failed"
    assert all("CCGATT" not in one.message and "nobody_knows" not in one.message for one in found.errors)
    assert "nobody_knows" in (found.errors[1].detail or "")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"variants": ["m.3243A>G"], "assembly": "GRCh37"}, "NO_REFERENCE"),
        ({"variants": ["m.3243A>G"], "species": "mus_musculus"}, "NO_REFERENCE"),
        ({"sequence": "ACGT" * 5}, "SEQUENCE_TOO_SHORT"),
        ({"sequence": "N" * 200}, "SEQUENCE_NO_BASES"),
        ({"input": ObjectReference(name="x" * 20, size_bytes=1 << 40, checksum="sha256:" + "0" * 64)}, "UNAVAILABLE"),
    ],
)
def test_what_cannot_be_done_is_a_failed_answer_with_a_code(deps: WorkerDeps, data: dict[str, Any], code: str) -> None:
    found = answer(deps, **data)
    assert found.status == "failed"
    assert found.errors[0].code == code


def test_a_reference_can_be_named(deps: WorkerDeps) -> None:
    assert answer(deps, variants=["m.3243A>G"], assembly="mitochondrion").versions["bundle"] == "mitochondrion"
    assert answer(deps, variants=["m.3243A>G"], assembly="clinical-panel").status == "failed"
    assert answer(deps, variants=["m.3243A>G"], assembly="GRCh38").status == "success"


def test_a_request_that_breaks_its_schema_is_answered(deps: WorkerDeps) -> None:
    broken = msgspec.structs.replace(request(variants=["m.3243A>G"]), data=b'{"sequence":"ACGT","variants":["x"]}')
    assert [one.code for one in result(handle([broken], deps)[0]).errors] == ["INVALID_REQUEST"]
    broken = msgspec.structs.replace(broken, data=b"[" * 100_000)
    assert result(handle([broken], deps)[0]).status == "failed"


# ---- raw DNA ----


def test_a_sequence_is_placed_and_its_differences_are_annotated(deps: WorkerDeps) -> None:
    bases = mito.sequence()
    changed = bases[3000:3106] + bases[3107:3242] + "G" + bases[3243:4000]
    found = answer(deps, sequence=changed[110:])
    assert found.status == "success"
    (one,) = found.annotations
    assert one["variant"]["hgvsg"] == "NC_012920.1:m.3243A>G"
    assert one["input"] == "sequence 1"
    assert found.sequences[0]["outcome"] == "placed"
    assert found.sequences[0]["placements"][0]["reference"] == "mitochondrion"
    assert "bases" not in found.sequences[0]


def test_no_stretch_of_a_sequence_comes_back(deps: WorkerDeps) -> None:
    dice = random.Random(5)
    unknown = "".join(dice.choice("ACGT") for _ in range(600))
    event = handle([request(sequence=unknown)], deps)[0]
    found = result(event)
    assert found.status == "failed"
    assert found.errors[0].code in {"SEQUENCE_NOT_FOUND", "SEQUENCE_LOW_IDENTITY"}
    assert event.data is not None
    assert not any(unknown[at : at + 12].encode() in event.data for at in range(0, 588, 7))


def test_made_up_input_is_the_same_for_the_same_numbers(deps: WorkerDeps) -> None:
    sequence = SyntheticSequence(seed=7, index=3, size=2_000)
    one, two = (answer(deps, generate=sequence) for _ in range(2))
    assert one.annotations == two.annotations
    assert one.summary["made_up"] == "from seed 7, number 3"
    variants = answer(deps, generate=SyntheticSequence(seed=7, index=3, size=20, kind="variants"))
    assert variants.status == "success"
    assert len(variants.annotations) == 20


# ---- uploads ----

VCF = b"""##fileformat=VCFv4.2
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
chrM\t3243\trs1\tA\tG\t.\t.\t.
chr17\t43124027\t.\tACT\tA\t.\t.\t.
chrM\t100\t.\tT\t.\t.\t.\t.
chr1\t5\t.\tA\tG\t.\t.\t.
chrM\tx\t.\tA\tG\t.\t.\t.
chrZ\t5\t.\tA\tG\t.\t.\t.
chrM\t73\t.\tA\tG,T\t.\t.\t.
"""


@pytest.fixture
def stored(deps: WorkerDeps) -> WorkerDeps:
    deps.objects = open_objects("memory://", ManualClock())
    return deps


def upload(deps: WorkerDeps, content: bytes) -> ObjectReference:
    assert deps.objects is not None
    put = deps.objects.put(content)
    return ObjectReference(name=put.name, size_bytes=put.size, checksum=f"sha256:{put.sha256}")


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_vcf_is_answered_record_by_record(stored: WorkerDeps, packed: bool) -> None:
    found = answer(stored, input=upload(stored, gzip.compress(VCF) if packed else VCF))
    assert found.status == "partial"
    assert [one["input"] for one in found.annotations] == ["rs1", "chr17-43124027-ACT-A", "chrM-73-A-G", "chrM-73-A-T"]
    assert found.annotations[1]["variant"]["hgvsg"] == "NC_000017.11:g.43124030_43124031del"
    told = {(one.code, one.place) for one in found.errors}
    assert told == {
        ("NO_CHANGE", "line 5"),
        ("OUTSIDE_REFERENCE", "line 6"),
        ("MALFORMED", "line 7"),
        ("UNKNOWN_CONTIG", "line 8"),
    }


def test_fasta_and_lists_of_names_are_uploads_too(stored: WorkerDeps) -> None:
    fasta = f">one\n{mito.sequence()[:400]}\n>two\nACGTACGT\n".encode()
    found = answer(stored, input=upload(stored, fasta))
    assert found.status == "partial"
    assert [one["name"] for one in found.sequences] == ["one", "two"]
    assert found.errors[-1].place == "sequence 2"
    names = answer(stored, input=upload(stored, b"# mine\nNC_012920.1:m.3243A>G\nrs199474657\n"))
    assert len(names.annotations) == 2


def test_what_must_be_split_and_what_only_claims_to_be_small_is_unavailable(stored: WorkerDeps) -> None:
    many = answer(stored, input=upload(stored, VCF + b"chrM\t73\t.\tA\tG\t.\t.\t.\n" * 10_001))
    assert (many.status, many.errors[0].code) == ("failed", "UNAVAILABLE")
    bomb = answer(stored, input=upload(stored, gzip.compress(bytes(80_000_000))))
    assert bomb.errors[0].code == "UNAVAILABLE"


def test_a_missing_or_damaged_upload_is_said(stored: WorkerDeps) -> None:
    missing = ObjectReference(name="0" * 64, size_bytes=4, checksum="sha256:" + "0" * 64)
    assert answer(stored, input=missing).errors[0].code == "INPUT_MISSING"
    there = upload(stored, VCF)
    other = msgspec.structs.replace(there, checksum="sha256:" + "1" * 64)
    assert answer(stored, input=other).errors[0].code == "INPUT_DAMAGED"


# ---- the same again, and sealed ----


def test_the_same_request_gives_the_same_id_and_the_same_bytes_in_any_batch(deps: WorkerDeps) -> None:
    one = request(1, variants=["m.3243A>G", "m.1C>G", "MT-ND1:c.5T>C"])
    others = [request(n, variants=["m.8993T>G"]) for n in range(2, 30)]
    alone = handle([one], deps)[0]
    beside = handle([*others, one], deps)[-1]
    assert alone.id == beside.id
    assert unmeasured(alone) == unmeasured(beside)
    revised = msgspec.structs.replace(one, extensions={**one.extensions, "revision": 2})
    assert handle([revised], deps)[0].id != alone.id


def unmeasured(event: Event) -> bytes:
    assert event.data is not None
    return event.data[: event.data.index(b',"measured":')]


def test_processor_time_is_shared_out_by_work(deps: WorkerDeps) -> None:
    small = [request(n, variants=["m.3243A>G"]) for n in range(20)]
    large = request(99, sequence=mito.sequence())
    handle([*small, large], deps)
    before = time.thread_time()
    events = handle([*small, large], deps)
    spent = time.thread_time() - before
    measured = [result(event).measured for event in events]
    shares = [one.cpu_s or 0.0 for one in measured]
    assert sum(shares) <= spent
    assert sum(shares) > 0.5 * spent
    assert shares[-1] > 5 * max(shares[:-1])
    assert measured[0].method == "cpu-stage-v1"
    assert measured[0].batch == 21
    assert {"parse", "resolve", "annotate", "score", "explain"} <= set(measured[0].stages_ms or {})


@pytest.fixture
def sealing(deps: WorkerDeps, tmp_path: Path) -> WorkerDeps:
    deps.sealer = ProjectSealer(FileKeys(tmp_path / "keys", ManualClock()))
    return deps


def sealed(event: Event, deps: WorkerDeps) -> Event:
    assert deps.sealer is not None
    assert event.data is not None
    closed = deps.sealer.seal("p1", event.data, bound_to(event.id, event.type, "p1"))
    return msgspec.structs.replace(event, data=closed.data, extensions={**event.extensions, "sealed": closed.key_id})


def opened(event: Event, deps: WorkerDeps) -> AnalysisResult:
    assert deps.sealer is not None
    key_id = str(event.extensions["sealed"])
    data = deps.sealer.open("p1", key_id, event.data or b"", bound_to(event.id, event.type, "p1"))
    return msgspec.json.decode(data, type=AnalysisResult)


def test_a_sealed_request_gets_a_sealed_answer(sealing: WorkerDeps) -> None:
    plain = request(variants=["m.3243A>G"])
    event = handle([sealed(plain, sealing)], sealing)[0]
    assert event.data is not None
    assert b"3243" not in event.data
    found = opened(event, sealing)
    assert found.annotations[0]["variant"]["position"] == 3243
    for name in ("partitionkey", "projectid", "sessionid", "revision", "traceparent"):
        assert event.extensions[name] == plain.extensions[name]


def test_ciphertext_of_another_event_is_a_dead_letter_and_an_answer(sealing: WorkerDeps) -> None:
    moved = msgspec.structs.replace(sealed(request(1, variants=["m.3243A>G"]), sealing), id="another")
    with pytest.raises(NotOpened) as caught:
        handle([moved], sealing)
    found = opened(failed(moved, failure_of(caught.value), sealing)[0], sealing)
    assert (found.status, found.errors[0].code) == ("failed", "NOT_HANDLED")


def test_a_crash_is_answered_even_when_the_keys_are_gone(sealing: WorkerDeps) -> None:
    asked = sealed(request(1, variants=["m.3243A>G"]), sealing)
    assert isinstance(sealing.sealer, ProjectSealer)
    sealing.sealer._keys.destroy("p1")
    event = failed(asked, crashed(3), sealing)[0]
    assert "sealed" not in event.extensions
    assert result(event).errors[0].code == "CRASHED"


@pytest.mark.parametrize("closed", [False, True])
def test_a_large_answer_goes_by_reference(stored: WorkerDeps, tmp_path: Path, closed: bool) -> None:
    stored.sealer = ProjectSealer(FileKeys(tmp_path / "keys", ManualClock()))
    asked = request(generate=SyntheticSequence(seed=1, index=1, size=300, kind="variants"))
    event = handle([sealed(asked, stored) if closed else asked], stored)[0]
    found = opened(event, stored) if closed else result(event)
    assert len(event.data or b"") < 10_000
    assert found.annotations == []
    assert found.summary["variants"] == 300
    output = found.output
    assert output is not None
    assert stored.objects is not None
    reference = Stored(name=output.name, size=output.size_bytes, sha256=output.checksum.removeprefix("sha256:"))
    content = stored.objects.get(reference)
    if closed:
        assert output.sealed is not None
        content = stored.sealer.open("p1", output.sealed, content, bound_to(event.id, OUTPUT_BOUND, "p1"))
    whole = msgspec.json.decode(content, type=AnalysisResult)
    assert len(whole.annotations) == 300
    assert whole.summary == found.summary


# ---- anything at all ----


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.text(min_size=1, max_size=60),
            st.from_regex(
                r"(NC_012920\.1:|NM_007294\.3:|chr17[-:]|17:)?[cgmnp]?\.?[0-9]{1,8}[-_+>=A-Za-z0-9:*?]{0,20}"
            ),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_no_text_raises(deps: WorkerDeps, names: list[str]) -> None:
    found = answer(deps, variants=names)
    assert found.status in {"success", "partial", "failed"}
    assert (found.status == "success") == (not any(one.severity == "error" for one in found.errors))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text(alphabet="chrM\t17\n.AGCT,*<DEL>3245#>", max_size=200).map(str.encode))
def test_no_upload_raises(deps: WorkerDeps, content: bytes) -> None:
    deps.objects = open_objects("memory://", ManualClock())
    found = answer(deps, input=upload(deps, content))
    assert found.status in {"success", "partial", "failed"}
