"""Columns in other languages: labels, groups, files and transcripts by the names that people give them."""

import re
import unicodedata

import numpy as np
import pytest

from headstart.data import read
from headstart.data.column_names import LABEL_NAMES, PATH_NAMES, TEXT_NAMES, TRANSCRIPT_NAMES, bare, group_rank
from headstart.data.transcripts import read_transcripts

pd = pytest.importorskip("pandas")

N = 48
CLASSES = ["a", "a", "b", "b"] * 12
PATIENTS = [f"p{i % 8}" for i in range(N)]
FILES = [f"{i}.png" for i in range(N)]
PRICES = [1.5 * i for i in range(N)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of FILES, the current one."""
    from PIL import Image

    for name in FILES:
        Image.new("L", (4, 4)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("files", "label", "group"),
    [
        ("Datei", "Befund", "Patientin"), ("DATEINAME", "klasse", "Patienten-Nr."), ("Bild", "Kategorie", "Proband"),
        ("fichier", "Catégorie", "patiente"), ("Nom du fichier", "etiquette", "Nume\u0301ro patient"),
        ("archivo", "diagnóstico", "paciente"), ("imagen", "CATEGORIA", "Código del paciente"),
        ("immagine", "diagnosi", "paziente"), ("nome file", "classe", "ID paziente"),
        ("arquivo", "rótulo", "id_paciente"), ("bestand", "categorie", "deelnemer"), ("plik", "klasa", "pacjentka"),
        ("файл", "Категория", "пациент"), ("图片", "类别", "患者ID"), ("ファイル名", "ラベル", "被験者"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("folder")
def test_the_roles_do_not_depend_on_the_order_of_columns(files, label, group):
    for order in ((files, label, group), (group, "Preis", label, files), (label, files, group, "Preis")):
        cells = {files: FILES, label: CLASSES, group: PATIENTS, "Preis": PRICES}
        data = read(pd.DataFrame({name: cells[name] for name in order}))
        assert data.modality == "image"
        assert f"label: column {label!r}, by its name" in data.notes
        assert data.target.classes == ("a", "b")
        assert len(np.unique(data.groups)) == 8
        assert any(note.startswith(f"groups: column {group!r}, by its name") for note in data.notes)


@pytest.mark.parametrize("label", ["Kategorie", "catégorie", "categoría", "Klasse", "класс", "分类", "objetivo"])
def test_a_label_word_beats_a_number(label):
    data = read(pd.DataFrame({label: CLASSES, "Menge": [i % 7 for i in range(N)], "Preis": PRICES}))
    assert (data.target.task, data.columns) == ("binary", ("Menge", "Preis"))


@pytest.mark.parametrize("group", ["Gruppe", "group", "Patientin", "Sitzung"])
@pytest.mark.parametrize("count", [3, 8])
def test_groups_beside_texts_are_no_label_where_there_is_another(group, count):
    texts = [f"some words of row {i}" for i in range(N)]
    groups = [f"g{i % count}" for i in range(N)]
    data = read(pd.DataFrame({"Text": texts, "Farbe": CLASSES, group: groups}))
    assert data.target.classes == ("a", "b")
    assert len(np.unique(data.groups)) == count


def test_words_of_two_meanings_yield_to_sure_ones():
    frame = {"Text": [f"words of {i}" for i in range(N)], "Tag": PATIENTS, "Klasse": CLASSES}
    assert "label: column 'Klasse', by its name" in read(pd.DataFrame(frame)).notes
    frame = {"texte": frame["Text"], "genre": ["f", "m"] * 24, "diagnostic": CLASSES}
    assert "label: column 'diagnostic', by its name" in read(pd.DataFrame(frame)).notes
    frame = {"x": PRICES, "y": PRICES, "Klasse": CLASSES}
    assert read(pd.DataFrame(frame)).columns == ("x", "y")


@pytest.mark.parametrize(
    "name",
    ["no case", "code_group", "nombre de cas", "Teilnehmer", "Fall", "fold id", "cases", "id_of_patients", "tier"],
)
def test_counts_and_other_words_are_no_groups(name):
    assert group_rank(name) is None


def test_accents_case_and_separators_do_not_matter():
    for name in ("CATÉGORIE", "categorie", unicodedata.normalize("NFD", "catégorie"), " Catégorie ", "caté-gorie"):
        assert bare(name) == "categorie"
    assert bare("Zielgröße") == bare("ZIELGRÖSSE")
    assert bare("患者ID") == "患者id"


def test_no_word_has_two_roles():
    label, path, text = ({*map(bare, names)} for names in (LABEL_NAMES, PATH_NAMES, (*TEXT_NAMES, *TRANSCRIPT_NAMES)))
    assert not label & (path | text)
    assert not path & text
    assert not [name for name in (*label, *text) if group_rank(name)]
    assert [name for name in path if group_rank(name)] == ["recording"]  # which is told by its cells


@pytest.mark.parametrize(
    ("sound", "words", "speaker"),
    [
        ("Audiodatei", "Transkript", "Sprecherin"),
        ("enregistrement", "Texte", "locutrice"),
        ("grabación", "Transcripción", "hablante"),
        ("registrazione", "Trascrizione", "parlante"),
        ("音声", "文字起こし", "話者"),
    ],
)
def test_transcribed_speech(tmp_path, monkeypatch, sound, words, speaker):
    monkeypatch.chdir(tmp_path)
    rows = [(f"{i}.wav", f"word {'ab'[i % 2]}{i}", f"s{i % 3}") for i in range(9)]
    for name, _, _ in rows:
        (tmp_path / name).write_bytes(b"")
    spoken = read_transcripts(pd.DataFrame(rows, columns=[sound, words, speaker])[[speaker, words, sound]])
    assert len(spoken.texts) == 9
    assert len(spoken.group_names) == 3
    assert any(re.search(f"sounds in column '{sound}', transcripts in column '{words}'", note) for note in spoken.notes)
