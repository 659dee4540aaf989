"""What people call columns, groups and splits, in English and a dozen other languages, the surest words first.

A word that means something else in another of these languages, or that is as often a feature, is not here ("fall",
"note", "art", "tier", "Bewertung") or comes last ("Tag" is a day in German, "genre" the sex in French).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

LABEL_NAMES = (
    "label", "labels", "class", "classes", "target", "targets", "category", "categories", "intent", "sentiment",
    "diagnosis", "species", "outcome", "topic",
    "Klasse", "Klassen", "Kategorie", "Etikett", "Zielvariable", "Zielgröße", "Diagnose",  # German, Dutch
    "klas", "doelvariabele",
    "classe", "catégorie", "étiquette", "diagnostic", "cible", "variable cible",  # French, Italian, Portuguese
    "categoria", "etichetta", "diagnosi", "etiqueta", "diagnóstico", "rótulo", "alvo", "variável alvo",
    "clase", "variable objetivo",  # Spanish
    "klasa", "kategoria", "etykieta", "diagnoza", "rozpoznanie",  # Polish
    "класс", "категория", "метка", "диагноз", "целевая переменная",  # Russian
    "标签", "標籤", "类别", "類別", "分类", "分類", "诊断", "診断", "ラベル", "クラス", "カテゴリ", "カテゴリー",
    "Befund", "Absicht", "intention", "intención", "intenzione", "intenção", "Stimmung", "sentimiento", "sentimento",
    "тональность", "Spezies", "espèce", "especie", "specie", "gatunek", "物种", "esito", "desenlace",
    "desfecho", "Thema", "thème", "tema", "temat", "тема", "主题", "主題", "Ziel", "objetivo",
    "y", "tag", "tags", "genre",
)  # fmt: skip

PATH_NAMES = (
    "path", "file", "filename", "filepath", "image", "audio", "audio path", "audio file", "sound", "clip", "clip path",
    "recording", "wav", "wav path",
    "Datei", "Dateiname", "Dateipfad", "Pfad", "Bild", "Bilddatei", "Bildpfad", "Foto", "Aufnahme", "Audiodatei",
    "fichier", "nom fichier", "nom du fichier", "nom de fichier", "chemin", "photo", "enregistrement",
    "archivo", "nombre archivo", "nombre del archivo", "nombre de archivo", "fichero", "ruta", "imagen", "grabación",
    "nome file", "nome del file", "percorso", "immagine", "registrazione",
    "arquivo", "nome arquivo", "nome do arquivo", "ficheiro", "caminho", "imagem", "gravação",
    "bestand", "bestandsnaam", "afbeelding", "opname", "plik", "nazwa pliku", "ścieżka", "obraz", "zdjęcie", "nagranie",
    "файл", "имя файла", "путь", "изображение", "аудио", "запись",
    "文件", "文件名", "路径", "图像", "图片", "音频", "录音", "ファイル", "ファイル名", "パス", "画像", "音声", "録音",
)  # fmt: skip

TEXT_NAMES = (
    "text", "texts", "sentence", "utterance", "question", "review", "comment", "message", "body", "document",
    "texte", "texto", "testo", "tekst", "текст", "文本", "テキスト",
    "Satz", "Äußerung", "Aeusserung", "phrase", "frase", "oración", "zin", "zdanie", "предложение", "句子",
    "Frage", "pregunta", "domanda", "pergunta", "vraag", "pytanie", "вопрос", "问题", "質問",
    "Rezension", "reseña", "recensione", "resenha", "recenzja", "отзыв", "评论", "レビュー",
    "Kommentar", "commentaire", "comentario", "commento", "komentarz", "комментарий", "コメント",
    "Nachricht", "mensaje", "messaggio", "mensagem", "wiadomość", "сообщение", "消息", "メッセージ",
)  # fmt: skip

TRANSCRIPT_NAMES = (
    "text", "transcript", "transcription", "sentence", "normalized text", "normalised text", "raw text",
    "normalized transcription", "transcripts", "words", "utterance", "raw transcription",
    "Transkript", "Transkription", "transcripción", "trascrizione", "transcrição", "transcriptie", "transkrypcja",
    "транскрипция", "расшифровка", "转录", "文字起こし", "書き起こし",
    "texte", "texto", "testo", "tekst", "текст", "文本", "テキスト",
    "Satz", "Äußerung", "Aeusserung", "phrase", "frase", "oración", "zdanie", "предложение", "句子",
)  # fmt: skip

# Folders of a split: of what is learned from, and of the rest.
TRAIN_NAMES = (
    "train", "training", "Trainingsdaten", "entraînement", "apprentissage", "entrenamiento", "addestramento", "treino",
    "treinamento", "trening", "обучение", "обучающая", "训练", "训练集", "訓練", "学習",
)  # fmt: skip
HELD_OUT_NAMES = (
    "val", "valid", "validation", "dev", "test", "testing", "eval",
    "Validierung", "Testdaten", "validación", "prueba", "pruebas", "évaluation", "evaluación", "validazione",
    "validação", "teste", "avaliação", "validatie", "walidacja", "валидация", "тест", "тестовая",
    "验证", "验证集", "测试", "测试集", "検証", "テスト",
)  # fmt: skip

# Bases of groups, in the order in which they are taken where there are several.
GROUP_BASES = (
    "group", "patient", "subject", "participant", "speaker", "spk", "talker", "actor", "singer", "donor", "person",
    "individual", "animal", "user", "client", "customer", "case", "session", "recording", "video", "site", "hospital",
)  # fmt: skip
# As sure as with "id" beside them.
_PLAIN = (
    "patient", "participant", "speaker", "spk", "talker", "donor",
    "Patientin", "Proband", "Probandin", "Versuchsperson", "Sprecher", "Sprecherin", "Spender", "Spenderin",
    "patiente", "locuteur", "locutrice", "participante", "donneur", "donneuse",
    "paciente", "hablante", "locutor", "locutora", "donante", "paziente", "partecipante", "parlante", "donatore",
    "falante", "doador", "doadora", "proefpersoon", "deelnemer", "spreker",
    "pacjent", "pacjentka", "uczestnik", "mówca", "пациент", "пациентка", "участник", "диктор",
    "患者", "病人", "受试者", "说话人", "被験者", "参加者", "話者",
)  # fmt: skip
_WORDS = (
    "group", "groups", "subject", "actor", "singer", "person", "user", "case", "session", "recording", "site",
    "hospital", "fold",
    "Gruppe", "groupe", "grupo", "gruppo", "groep", "grupa", "группа", "sujeto", "soggetto", "sujeito", "testpersoon",
    "utilisateur", "usuario", "utente", "usuário", "gebruiker", "пользователь", "用户",
    "caso", "Sitzung", "sesión", "sessione", "sessão", "Krankenhaus", "Klinik", "hôpital", "ospedale",
    "ziekenhuis", "szpital", "больница", "医院", "病院",
)  # fmt: skip
# Bare they say too little, or count ("Teilnehmer" is one and many).
_AFFIXED = (
    "Patienten", "Probanden", "Teilnehmer", "Teilnehmerin", "Nutzer", "Benutzer", "Aufnahme", "Kunde", "Kunden",
    "Klient", "Klienten", "Fall", "sujet", "personne", "individu", "persona", "pessoa", "persoon", "cliente", "klant",
    "animale", "пациента", "клиент", "клиента",
)  # fmt: skip
_SUFFIXES = (
    "id", "no", "nr", "num", "number", "code", "key", "name", "uuid", "hash",
    "nummer", "kennung", "kürzel", "schlüssel", "numer", "номер", "код", "ид", "编号", "番号",
)  # fmt: skip
_PREFIXES = (
    "id", "ident", "identifiant", "code", "num", "numéro", "nom", "código", "cod", "número", "nombre", "nome",
    "codice", "numero", "numer", "номер", "код", "ид",
)  # fmt: skip
_PARTICLES = ("", "du", "de", "de la", "del", "della", "do", "da")


def folded(name: str) -> str:
    """A name without case and accents; half and full width are one."""
    parted = unicodedata.normalize("NFKD", name).casefold()
    return "".join(c for c in parted if not unicodedata.combining(c))


def bare(name: str) -> str:
    """A folded name without spaces, "-", "_" and "."."""
    return re.sub(r"[\s._-]+", "", folded(name))


def columns_named(columns: Iterable[str], names: Sequence[str]) -> tuple[str, ...]:
    """The columns that bear one of the usual names, in the order of those; of two alike the first."""
    there = {bare(column): column for column in reversed(list(columns))}
    return tuple(there[name] for name in dict.fromkeys(map(bare, names)) if name in there)


def group_rank(name: str) -> tuple[bool, int, int] | None:
    """How likely a column of this name holds groups: (unsure, base, suffix), lower is likelier; None for other names.

    Sure is a base that can hardly mean anything else, and any base with what stands before or after names of people.
    """
    short = bare(name)
    if match := _SURE.fullmatch(short):
        before, base, after = match.groups()
        if (base in _BARE_PLAIN or before or after) and not (before and base in _ONLY_BEFORE_SUFFIX):
            return False, GROUP_WORDS.index(base), _BARE_SUFFIXES.index(after) + 1 if after else 0
    return (True, _BARE_WORDS.index(short), 0) if short in _BARE_WORDS else None


_BARE_PLAIN, _BARE_WORDS, _BARE_SUFFIXES = (tuple(map(bare, names)) for names in (_PLAIN, _WORDS, _SUFFIXES))
_NO_BASES = ("groups", "fold")
GROUP_WORDS = tuple(
    base
    for base in dict.fromkeys((*GROUP_BASES, *_BARE_PLAIN, *_BARE_WORDS, *map(bare, _AFFIXED)))
    if base not in _NO_BASES
)
"""What a group may be called, as `bare` has it, in the order in which they are taken where there are several."""
_ONLY_BEFORE_SUFFIX = frozenset(GROUP_BASES) - {"patient"}  # "no case", "code group": English puts them behind
_SURE = re.compile(
    rf"((?:{'|'.join(map(bare, _PREFIXES))})(?:{'|'.join(map(bare, _PARTICLES))}))?"
    rf"({'|'.join(GROUP_WORDS)})({'|'.join(_BARE_SUFFIXES)})?"
)
