"""Ensembl's own answer, from a local server that speaks the documented shapes and misbehaves as servers do."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from genescale.clock import ManualClock, SystemClock
from genescale.errors import CannotStart, Permanent, Retryable, UnknownName
from genescale.events.retry import RetryPolicy
from genescale.worker.ensembl import FIELDS, Asked, EnsemblAnnotator, asked_of_line, ensembl_name
from genescale.worker.rest_client import Circuit, Pace, RestClient, RestRefused, RestUnavailable, seconds_of
from support.vep_server import VepServer, cut, hanging_up, saying, slow, vep_server

LINE = b"chr1\t230710048\trs699\tA\tG\t.\t.\t."


@pytest.fixture
def server() -> Iterator[VepServer]:
    with vep_server() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def annotator(server: VepServer, clock: ManualClock) -> Iterator[EnsemblAnnotator]:
    made = annotator_of(server, clock)
    yield made
    made.close()


def annotator_of(server: VepServer, clock: ManualClock, *, timeout_s: float = 30, **other: object) -> EnsemblAnnotator:
    client = RestClient(server.url, clock=clock, seed=1, timeout_s=timeout_s)
    given: dict[str, object] = {"assembly": "GRCh38.p14", "synthetic": False, "variants_may_leave": True}
    return EnsemblAnnotator(**(given | other), clock=clock, seed=1, client=client)  # type: ignore[arg-type]


def some(count: int, start: int = 1000) -> list[Asked]:
    return [Asked("1", start + i, "A", "G") for i in range(count)]


# ---- the answer


def test_rows_have_the_fields_of_our_own_and_say_who_answered(annotator: EnsemblAnnotator, server: VepServer):
    first, second = annotator.annotate([b"##fileformat=VCFv4.2\n", b"#CHROM\tPOS\n", LINE + b"\r\n"])
    assert tuple(first) == FIELDS
    assert {name: value for name, value in first.items() if value != "-"} == {
        "id": "rs699",
        "location": "1:230710048",
        "allele": "G",
        "consequence": "missense_variant&splice_region_variant",
        "impact": "MODERATE",
        "symbol": "AGT",
        "gene": "ENSG00000135744",
        "feature_type": "Transcript",
        "transcript": "ENST00000366667.6",
        "biotype": "protein_coding",
        "exon": "2/5",
        "hgvsc": "ENST00000366667.6:c.803T>C",
        "hgvsp": "ENSP00000355627.5:p.Met268Thr",
        "cdna_position": "1018",
        "cds_position": "803-?",
        "protein_position": "268",
        "amino_acids": "M/T",
        "codons": "aTg/aCg",
        "strand": "-1",
        "symbol_source": "HGNC",
        "hgnc_id": "HGNC:333",
        "canonical": "YES",
        "mane": "MANE_Select",
        "tsl": "1",
        "existing_variation": "rs699&CM920010",
        "clinical_significance": "benign&risk_factor",
        "gnomade_af": "0.4105",
        "gnomadg_af": "5.5e-05",
        "contig": "chr1",
        "pos": "230710048",
        "ref": "A",
        "alt": "G",
        "allele_num": "1",
        "source": "ensembl-rest 115 GRCh38",
    }
    assert (second["distance"], second["flags"]) == ("650", "cds_start_NF&cds_end_NF")
    assert server.asked() == [["1 230710048 v0 A G . . ."]]
    assert "hgvs=1" in server.calls("/vep/homo_sapiens/region")[0][1]


def test_two_hundred_alleles_go_into_a_call_and_answers_keep_their_order(
    annotator: EnsemblAnnotator, server: VepServer
):
    answers = annotator.answers(some(450))
    assert [len(batch) for batch in server.asked()] == [200, 200, 50]
    assert [(a.asked.position, a.rows[0]["pos"], a.problem) for a in answers] == [
        (p, str(p), "") for p in range(1000, 1450)
    ]


def test_each_alternative_of_a_line_is_asked_and_what_is_no_sequence_is_not(
    annotator: EnsemblAnnotator, server: VepServer
):
    rows = list(
        annotator.annotate([b"1\t100\t.\tAC\tA,GC,*,<DEL>,AC[2:5[\t.\t.\t.", b"nonsense", b"1\t5\t.\tA\tT\t.\t.\t."])
    )
    assert server.asked() == [["1 100 v0 AC A . . .", "1 100 v1 AC GC . . .", "1 5 v2 A T . . ."]]
    told = [(row["alt"], row["allele_num"], row["problem"]) for row in rows if row["problem"] != "-"]
    sent = "only alleles that are sequences are sent"
    assert told == [
        ("*", "3", sent),
        ("<DEL>", "4", sent),
        ("AC[2:5[", "5", sent),
        ("-", "1", "the line is no VCF record"),
    ]
    assert [row["allele"] for row in rows if row["problem"] == "-"] == ["-", "-", "GC", "GC", "T", "T"]
    assert {row["source"] for row in rows} == {"ensembl-rest 115 GRCh38"}


def test_a_name_in_hgvs_is_answered_or_refused_in_the_servers_words(annotator: EnsemblAnnotator, server: VepServer):
    answer = annotator.hgvs("ENST00000366667.6:c.803T>C")
    assert answer.rows[0]["hgvsp"] == "ENSP00000355627.5:p.Met268Thr"
    assert server.heard[-1][1].startswith("/vep/homo_sapiens/hgvs/ENST00000366667.6%3Ac.803T%3EC?")
    with pytest.raises(UnknownName, match="Could not parse the HGVS notation"):
        annotator.hgvs("nonsense/../x")
    assert "nonsense%2F..%2Fx" in server.heard[-1][1]


# ---- what the server does with bad input


def test_one_allele_that_the_server_refuses_costs_the_others_nothing(annotator: EnsemblAnnotator, server: VepServer):
    server.refuses = {"TTTT"}
    alleles = some(20)
    alleles[13] = Asked("1", 5, "A", "TTTT")
    answers = annotator.answers(alleles)
    assert [bool(answer.rows) for answer in answers] == [i != 13 for i in range(20)]
    assert answers[13].problem.startswith("the server refused it: Could not get an allele")
    assert len(server.asked()) < 12


def test_an_allele_that_a_batch_leaves_out_is_asked_alone_for_the_reason(
    annotator: EnsemblAnnotator, server: VepServer
):
    server.forgets = {"CCC"}
    answers = annotator.answers([*some(3), Asked("1", 7, "A", "CCC")])
    assert [len(batch) for batch in server.asked()] == [4, 1]
    assert answers[3].problem.startswith("the server refused it: Could not get an allele")
    assert all(answer.rows for answer in answers[:3])


def test_a_server_with_a_smaller_limit_gets_smaller_calls(annotator: EnsemblAnnotator, server: VepServer):
    server.batch_max = 60
    assert all(answer.rows for answer in annotator.answers(some(200)))
    assert sorted(len(batch) for batch in server.asked()) == [50, 50, 50, 50, 100, 100, 200]


# ---- cache and release


def test_the_same_allele_is_asked_once_however_it_is_anchored(annotator: EnsemblAnnotator, server: VepServer):
    one, same, shifted = Asked("1", 100, "CA", "C", "x"), Asked("chr1", 99, "GCA", "GC", "y"), Asked("1", 98, "CA", "C")
    first, second = annotator.answers([one, same])
    assert (first.cached, second.cached, second.asked, second.rows[0]["id"]) == (False, True, same, "y")
    (third,) = annotator.answers([same])
    assert third.cached
    assert len(server.asked()) == 1
    annotator.answers([shifted])  # VEP judges where the allele is written: another place may have another answer
    assert len(server.asked()) == 2


def test_the_cache_is_bounded_and_forgets_with_a_new_release(server: VepServer, clock: ManualClock):
    annotator = annotator_of(server, clock, cache_answers=10)
    annotator.answers(some(15))
    annotator.answers(some(15)[5:])
    assert len(server.asked()) == 1
    annotator.answers(some(5))
    assert len(server.asked()) == 2
    server.release = 116
    clock.advance(3601)
    (answer,) = annotator.answers([some(15)[14]])
    assert (answer.source, answer.cached) == ("ensembl-rest 116 GRCh38", False)
    annotator.close()


# ---- when it may not be asked at all


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"variants_may_leave": False}, "sends variants to a server outside; say so first"),
        ({"synthetic": True}, "the reference is synthetic"),
        ({"assembly": "parity"}, "Ensembl answers for GRCh38 and GRCh37, and the reference is parity"),
    ],
)
def test_nothing_is_sent_unless_it_may_and_makes_sense(
    server: VepServer, clock: ManualClock, given: dict[str, object], words: str
):
    with pytest.raises(CannotStart, match=words):
        annotator_of(server, clock, **given)
    assert not server.heard


def test_a_server_of_another_assembly_is_refused_before_any_variant_is_sent(server: VepServer, clock: ManualClock):
    server.assembly = "GRCh37"
    annotator = annotator_of(server, clock)
    with pytest.raises(CannotStart, match="answers for GRCh37, the variants are GRCh38"):
        annotator.answers(some(1))
    assert not server.asked()
    annotator.close()


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("chr1", "1"),
        ("chrM", "MT"),
        ("NC_000023.11", "X"),
        ("NC_000009.12", "9"),
        ("NC_012920.1", "MT"),
        ("chrUn_x", "Un_x"),
    ],
)
def test_contigs_have_ensembls_names(name: str, known: str):
    assert ensembl_name(name) == known


def test_no_text_in_a_line_reaches_the_server_as_anything_but_a_variant():
    assert asked_of_line(b"1 2\t5\t.\tA\tC\t.\t.\t.")[0].problem == "this is no name of a contig"  # type: ignore[union-attr]
    assert asked_of_line(b"1\t5\t.\tA C\tC")[0].problem == "only alleles that are sequences are sent"  # type: ignore[union-attr]
    assert asked_of_line(b"1\t99999999999999\t.\tA\tC")[0].problem == "the line is no VCF record"  # type: ignore[union-attr]


# ---- a server in trouble


@pytest.mark.parametrize(
    "trouble",
    [saying(503), saying(500), saying(200, b"<html>"), saying(200, b""), hanging_up, cut],
    ids=["503", "500", "no json", "empty", "hang up", "cut"],
)
def test_what_may_pass_is_tried_again(annotator: EnsemblAnnotator, server: VepServer, trouble: object):
    annotator.source()
    server.script = [trouble, trouble]  # type: ignore[list-item]
    (answer,) = annotator.answers(some(1))
    assert answer.rows
    assert len(server.asked()) == 3
    assert annotator.circuit == "closed"


def test_a_slow_server_is_not_waited_for(server: VepServer, clock: ManualClock):
    annotator = annotator_of(server, clock, timeout_s=0.3)
    server.script = [slow(1.0)]
    assert annotator.source() == "ensembl-rest 115 GRCh38"
    assert len(server.calls("/info/software")) >= 2
    annotator.close()


def test_no_answer_is_an_error_that_says_when_and_never_somebody_elses_row(
    annotator: EnsemblAnnotator, server: VepServer
):
    annotator.source()
    server.script = [saying(503)] * 20
    with pytest.raises(
        RestUnavailable, match=r"POST vep/:species/region of http.*: it answered 503 \(5 tries"
    ) as caught:
        annotator.answers(some(1, start=123456))
    assert isinstance(caught.value, Retryable)
    assert caught.value.after_s is not None
    assert "123456" not in str(caught.value)


def test_the_server_is_obeyed_when_it_says_slow_down(
    annotator: EnsemblAnnotator, server: VepServer, clock: ManualClock
):
    annotator.source()
    server.script = [saying(429, Retry_After="40.5"), saying(429, X_RateLimit_Reset="7", X_RateLimit_Remaining="0")]
    began = clock.monotonic_s()
    assert annotator.answers(some(1))[0].rows
    assert 47.5 <= clock.monotonic_s() - began < 60
    assert annotator.circuit == "closed"


def test_a_used_up_quota_is_waited_for_and_not_run_into(
    annotator: EnsemblAnnotator, server: VepServer, clock: ManualClock
):
    annotator.source()
    server.script = [saying(200, [], X_RateLimit_Remaining="0", X_RateLimit_Reset="90")]
    annotator.answers(some(1))
    began = clock.monotonic_s()
    annotator.answers(some(1, start=5))
    assert clock.monotonic_s() - began >= 89


def test_a_pause_that_is_too_long_to_wait_for_is_handed_to_the_caller(annotator: EnsemblAnnotator, server: VepServer):
    annotator.source()
    server.script = [saying(429, Retry_After="3000")]
    with pytest.raises(RestUnavailable) as caught:
        annotator.answers(some(1))
    assert caught.value.after_s == pytest.approx(3000, abs=1)
    assert len(server.asked()) == 1


def test_who_is_shut_out_stays_away(annotator: EnsemblAnnotator, server: VepServer):
    annotator.source()
    server.script = [saying(403, {"error": "You are submitting far too many requests"})]
    for _ in range(3):
        with pytest.raises(RestUnavailable) as caught:
            annotator.answers(some(1))
        assert caught.value.after_s == pytest.approx(600, abs=1)
    assert len(server.asked()) == 1


def test_an_answer_of_another_shape_is_no_answer(annotator: EnsemblAnnotator, server: VepServer):
    annotator.source()
    for strange in ({"error": "odd"}, [{"id": 5}], [1], [{"id": "v0", "transcript_consequences": [{}]}]):
        server.script = [saying(200, strange)]
        with pytest.raises(RestUnavailable, match="the answer has another shape"):
            annotator.answers(some(1))
    server.script = [saying(200, [{"id": "v7"}])]
    with pytest.raises(RestUnavailable, match="variants that were not asked for"):
        annotator.answers(some(1))


# ---- pace, circuit, budget


def test_fifteen_calls_a_second_and_not_more(server: VepServer, clock: ManualClock):
    client = RestClient(server.url, clock=clock, seed=1)
    began = clock.monotonic_s()
    for _ in range(46):
        client.call("GET info/software", "/info/software")
    assert clock.monotonic_s() - began == pytest.approx(3.0, abs=0.01)
    client.close()


def test_the_pace_is_that_of_all_callers_together():
    clock = ManualClock()
    pace = Pace(10, clock)
    pace.wait(1)
    pace.hold(5)
    with pytest.raises(RestUnavailable) as caught:
        pace.wait(2)
    assert caught.value.after_s == pytest.approx(5)
    pace.wait(6)
    assert clock.monotonic_s() == pytest.approx(1005)


def test_threads_share_one_pace_and_each_gets_its_own_answers(server: VepServer):
    client = RestClient(server.url, clock=SystemClock(), seed=1, per_second=400)
    annotator = EnsemblAnnotator(
        assembly="GRCh38", synthetic=False, variants_may_leave=True, clock=SystemClock(), seed=1, client=client
    )
    annotator.source()
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: annotator.answers(some(3, start=1000 * i)), range(1, 41)))
    assert time.monotonic() - began >= 39 / 400
    assert [[one.rows[0]["pos"] for one in part] for part in found] == [
        [str(1000 * i + k) for k in range(3)] for i in range(1, 41)
    ]
    annotator.close()


def test_a_circuit_opens_rests_lets_one_try_and_closes():
    clock = ManualClock()
    circuit = Circuit(clock, failures=3, rest_s=30)
    for _ in range(3):
        circuit.enter()
        circuit.failed()
    assert circuit.state == "open"
    with pytest.raises(RestUnavailable, match="failed 3 times in a row") as caught:
        circuit.enter()
    assert caught.value.after_s == pytest.approx(30)
    clock.advance(30)
    assert circuit.state == "half open"
    circuit.enter()
    with pytest.raises(RestUnavailable):
        circuit.enter()  # only one tries
    circuit.failed()
    clock.advance(59)
    assert circuit.state == "open"  # twice as long
    clock.advance(1)
    circuit.enter()
    circuit.succeeded()
    assert circuit.state == "closed"
    circuit.enter()


def test_a_dead_server_is_left_alone_after_a_few_calls(server: VepServer, clock: ManualClock):
    client = RestClient(server.url, clock=clock, seed=1)
    server.script = [saying(503)] * 100
    for _ in range(20):
        with pytest.raises(RestUnavailable):
            client.call("GET info/software", "/info/software")
    assert len(server.heard) == 5
    clock.advance(30)
    with pytest.raises(RestUnavailable):
        client.call("GET info/software", "/info/software")
    assert len(server.heard) == 6
    server.script = []
    clock.advance(60)
    assert client.call("GET info/software", "/info/software") == {"release": 115}
    client.close()


def test_retries_never_become_the_traffic(server: VepServer, clock: ManualClock):
    circuit = Circuit(clock, failures=10**6)
    client = RestClient(server.url, clock=clock, seed=1, circuit=circuit, per_second=10**6)
    server.script = [saying(503)] * 10_000
    for _ in range(300):
        with pytest.raises(RestUnavailable):
            client.call("GET info/software", "/info/software")
    retries = len(server.heard) - 300
    assert retries <= 10 + 300 * 0.1 + 0.1 * 10 * (clock.monotonic_s() - 1000) + 1
    client.close()


def test_the_same_seed_waits_the_same_times(server: VepServer):
    def waited(seed: int) -> float:
        clock = ManualClock()
        client = RestClient(server.url, clock=clock, seed=seed, policy=RetryPolicy(attempts_max=4))
        server.script = [saying(503)] * 3
        client.call("GET info/software", "/info/software")
        client.close()
        return clock.monotonic_s()

    assert waited(7) == waited(7) != waited(8)


def test_a_kept_connection_that_the_server_closed_is_opened_again_at_once(server: VepServer, clock: ManualClock):
    client = RestClient(server.url, clock=clock, seed=1)
    client.call("GET info/software", "/info/software")
    server.script = [hanging_up]
    began = clock.monotonic_s()
    assert client.call("GET info/software", "/info/software") == {"release": 115}
    assert clock.monotonic_s() - began < 0.2
    assert client.circuit.state == "closed"
    client.close()


@pytest.mark.parametrize("status", [400, 404, 301])
def test_a_no_is_permanent_and_keeps_the_servers_words_apart(server: VepServer, clock: ManualClock, status: int):
    client = RestClient(server.url, clock=clock, seed=1)
    server.script = [saying(status, {"error": "because"})]
    with pytest.raises(RestRefused, match=f"answered {status}") as caught:
        client.call("GET x", "/x")
    assert isinstance(caught.value, Permanent)
    assert (caught.value.status, caught.value.said) == (status, "because")
    client.close()


@pytest.mark.parametrize("url", ["rest.ensembl.org", "ftp://x", "https://u:p@x", "http://x?y=1", ""])
def test_what_is_no_address_is_refused(url: str, clock: ManualClock):
    with pytest.raises(Permanent, match="is no address of a server"):
        RestClient(url, clock=clock, seed=1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1.5", 1.5), ("40", 40.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("nan", None), (None, None)],
)
def test_seconds_in_a_header_are_numbers_or_nothing(text: str | None, seconds: float | None):
    assert seconds_of(text) == seconds


def test_whatever_json_comes_the_annotator_answers_or_says_what_is_wrong(
    annotator: EnsemblAnnotator, server: VepServer
):
    draw = random.Random(3)
    annotator.source()

    def junk(depth: int = 0) -> object:
        if depth > 3 or draw.random() < 0.3:
            return draw.choice([None, 1, -1.5, "v0", "A/G", True, "", [], {}])
        if draw.random() < 0.4:
            return [junk(depth + 1) for _ in range(draw.randrange(3))]
        keys = [
            "id",
            "start",
            "end",
            "allele_string",
            "transcript_consequences",
            "colocated_variants",
            "consequence_terms",
        ]
        return {draw.choice(keys): junk(depth + 1) for _ in range(draw.randrange(4))}

    for i in range(200):
        server.script = [saying(200, junk())]
        try:
            (answer,) = annotator.answers(some(1, start=10 + i))
        except RestUnavailable:
            continue
        assert answer.rows or answer.problem
