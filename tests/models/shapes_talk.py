"""What people say to Shapes, and what it answers: conversations as data, made from a seed.

A conversation is a list of messages {role, text, picture (a picture's index, or None)}; an assistant's message also has the
`facts` that its reply rests on, for the facts loss of training. Replies follow from the question and the picture in view:

    a colour asked    It is blue.               a description   It is a blue triangle.
    a shape asked     It is a triangle.         yes or no       Yes, it is a blue triangle.  /  No, ...

The first group of yes/no questions and of colour and shape questions below has easy-vqa's own wording.
"""
from shapes_data import COLOURS, SHAPES

SYSTEM = ["You are Shapes. You look at pictures of shapes.", "You are Shapes.", "You look at pictures of shapes.",
          "You are a helpful assistant.", "You are Shapes, a friendly assistant.", "Answer briefly.",
          "You are Shapes. You look at pictures of shapes and answer questions about them.",
          "Answer questions about pictures of shapes.", "You are a helpful assistant. Answer briefly."]

# {c}: the picture's colour, {s}: its shape; "colour" is spelled "color" half of the time.
ASK_COLOUR = ["what color is the shape?", "what is the color of the shape?", "what color is the {s}?",
              "what is the color of the {s}?"]
ASK_SHAPE = ["what shape is in the image?", "what shape does the image contain?", "what shape is present?",
             "what is the {c} shape?"]
TALK_COLOUR = ["What colour is the shape?", "What colour is it?", "What colour is this?", "Which colour is it?",
               "What is the colour of the shape?", "What is the colour?", "What is its colour?", "What's the colour?",
               "And the colour?", "And its colour?", "And what colour is it?", "The colour?", "What colour?", "Colour?",
               "Tell me the colour.", "Can you tell me the colour?", "What colour is the {s}?", "What colour is that?",
               "And what colour is the shape?", "What colour does it have?", "Which colour?", "And the colour of it?",
               "What is the colour of the {s}?", "And what is its colour?", "Please tell me the colour.",
               "What colour is this {s}?", "Which colour is the shape?", "So what colour is it?", "And colour?",
               "What colour is this shape?", "What is the colour of it?", "What colour do you see?"]
TALK_SHAPE = ["What shape is it?", "What shape is this?", "What shape is in the picture?", "What is the shape?",
              "Which shape is it?", "What shape?", "And the shape?", "And its shape?", "The shape?", "Shape?",
              "Tell me the shape.", "Can you tell me the shape?", "What shape do you see?", "Which shape do you see?",
              "And what shape is it?", "What shape is that?", "What is the {c} shape?", "What's the shape?", "Which shape?",
              "What is its shape?", "Please tell me the shape.", "Which shape is this?", "What shape does it have?",
              "What shape is the {c} one?", "So what shape is it?", "And shape?", "What kind of shape is it?",
              "What is the shape called?", "And what is its shape?", "What shape is in the photo?"]
TALK_BOTH = ["What is it?", "What is this?", "What do you see?", "What is in the picture?", "What is in the image?",
             "What can you see?", "Describe it.", "Describe the picture.", "What's this?", "Tell me what you see.",
             "What does the picture show?", "What is in the photo?", "Describe the image.", "What do you see in the picture?",
             "And what is this?", "Describe the shape.", "What is that?", "Can you describe it?", "What's in the picture?"]
NEW_PICTURE = ["And this?", "And this one?", "And this picture?", "What about this one?", "And now?", "Here is another one.",
               "Another one.", "How about this?", "And here?"]
SURE = ["Are you sure?", "Really?", "Is that right?", "Sure?"]

YES_NO = ["is there a {w}?", "is there a {w} in the image?", "does the image contain a {w}?", "is a {w} present?"]
NOT_YES_NO = ["is there not a {w}?", "is there not a {w} in the image?", "does the image not contain a {w}?",
              "is no {w} present?"]
TALK_YES_NO = ["Is there a {w}?", "Is it a {w}?", "Is this a {w}?", "Do you see a {w}?", "Can you see a {w}?", "And is it a {w}?",
               "Is that a {w}?", "Is there a {w} in the picture?", "Does the picture show a {w}?", "Is the shape a {w}?",
               "A {w}?", "So it is a {w}?", "Is it a {w} then?"]
TALK_IS_COLOUR = ["Is it {w}?", "Is the shape {w}?", "Is this {w}?", "And is it {w}?", "Is that {w}?", "Is the {s} {w}?",
                  "Is the colour {w}?", "Is it really {w}?", "{W}?", "So it is {w}?"]
TALK_NOT = ["Is it not {w}?", "Is the shape not {w}?", "Is it not a {v}?", "Is this not a {v}?", "Is there no {v}?"]

SMALL = {
    "Hello! Send me a picture of a shape.":
        ["Hello", "Hi", "Hey", "Hello there", "Hi there", "Good morning", "Good evening", "Good day", "Hello Shapes", "Hi Shapes",
         "Good afternoon"],
    "I am fine, thank you.": ["How are you?", "How are you doing?", "Hello, how are you?", "Hi, how are you?", "Are you well?",
                              "How are you today?"],
    "You are welcome.": ["Thanks", "Thank you", "Thanks a lot", "Thank you very much", "Thank you so much", "Many thanks", "Thanks!",
                         "Great, thanks", "OK, thanks", "Nice, thank you", "Thank you for your help"],
    "Goodbye!": ["Bye", "Goodbye", "See you", "See you tomorrow", "Good night", "See you later", "Bye bye", "Have a nice day"],
    "I am Shapes. I look at pictures of shapes.": ["Who are you?", "What are you?", "What is your name?", "Are you a robot?",
                                                   "What's your name?", "Are you human?", "Tell me about you."],
    "I can tell the colour and the shape in a picture.":
        ["What can you do?", "Help", "How can you help me?", "What do you do?", "Can you help me?", "What can I ask you?", "Help me",
         "How does this work?", "Can you see pictures?"],
    "Good.": ["OK", "Okay", "Great", "Good", "Nice", "Cool", "Right", "Yes", "I see", "Very good", "Perfect", "Well done", "Wow",
              "That is right", "Correct", "Good job", "All right"],
}
TOPICS = ["What is the weather today?", "Tell me a joke.", "Who won the game?", "What time is it?", "Do you like music?",
          "How old are you?", "Where do you live?", "What is two plus two?", "Can you sing?", "Write a poem.", "I love my dog.",
          "I am hungry.", "What should I eat?", "Where is Paris?", "Tell me about cats.", "Who is the king?", "How far is the moon?",
          "What day is it?", "Do you speak French?", "I bought a new car.", "Can you book a table?", "My house is big."]
FILLER = ("the a my your of in at with food water car house dog cat music time day year city road book game phone work school money"
          " friend family price order help open close send pay buy sell go come run make find long short new old why when where who"
          " how did was were will should could would about from many much they we he she this that").split()
SORRY = "Sorry, I only know shapes and their colours."
NO_PICTURE = "Please send me a picture of a shape."

ASKS_COLOUR, ASKS_SHAPE = len(COLOURS) + 1, len(SHAPES) + 1  # 0: nothing asked; 1...: the word named; last: asked openly


class Facts:
    """What the state before a reply must know: the words asked about, whether negated, what the picture shows."""
    SIZES = {"asked_colour": len(COLOURS) + 2, "asked_shape": len(SHAPES) + 2, "negated": 2, "colour": len(COLOURS) + 1,
             "shape": len(SHAPES) + 1}

    def __init__(self, picture=None, asked_colour=0, asked_shape=0, negated=0):
        self.asked_colour, self.asked_shape, self.negated = asked_colour, asked_shape, int(negated)
        self.colour = 1 + COLOURS.index(picture.colour) if picture else 0
        self.shape = 1 + SHAPES.index(picture.shape) if picture else 0

    def row(self):
        return [getattr(self, name) for name in self.SIZES]


def described(picture):
    return f"a {picture.colour} {picture.shape}"


def open_reply(kind, picture):
    return {"colour": f"It is {picture.colour}.", "shape": f"It is a {picture.shape}.",
            "both": f"It is {described(picture)}."}[kind]


def say(rng, text, picture):
    """A template filled in, in one of the spellings that people use."""
    text = text.replace("{c}", picture.colour if picture else rng.choice(COLOURS))
    text = text.replace("{s}", picture.shape if picture else rng.choice(SHAPES))
    if rng.random() < 0.5:
        text = text.replace("colour", "color").replace("Colour", "Color")
    else:
        text = text.replace("color", "colour").replace("colourur", "colour")
    if rng.random() < 0.4:
        text = text.replace("gray", "grey").replace("Gray", "Grey")
    if rng.random() < 0.15:
        text = text.lower()
    if text[-1:] in "?." and rng.random() < 0.1:
        text = text[:-1]
    if rng.random() < 0.04:
        text = text.rstrip("?.") + "!"
    return text


def open_question(rng, picture):
    kind = rng.choice(["colour", "colour", "shape", "shape", "both"])
    official = rng.random() < 0.35
    texts = {"colour": ASK_COLOUR if official else TALK_COLOUR, "shape": ASK_SHAPE if official else TALK_SHAPE,
             "both": TALK_BOTH}[kind]
    facts = Facts(picture, ASKS_COLOUR if kind != "shape" else 0, ASKS_SHAPE if kind != "colour" else 0)
    return say(rng, rng.choice(texts), picture), open_reply(kind, picture) if picture else NO_PICTURE, facts


def closed_question(rng, picture, negated_share):
    """A yes/no question about a colour, a shape or both; it fits the picture half of the time."""
    fits = rng.random() < 0.5
    shown = picture or type("Any", (), {"colour": rng.choice(COLOURS), "shape": rng.choice(SHAPES)})
    kind = rng.choice(["colour", "colour", "shape", "shape", "both"])
    colour = shown.colour if kind != "shape" else None
    shape = shown.shape if kind != "colour" else None
    if not fits:  # of a pair, either word is wrong, or both are
        wrong = rng.choice(["colour", "shape", "both"]) if kind == "both" else kind
        if wrong in ("colour", "both"):
            colour = rng.choice([c for c in COLOURS if c != shown.colour])
        if wrong in ("shape", "both"):
            shape = rng.choice([s for s in SHAPES if s != shown.shape])
    words = f"{colour} {shape}" if kind == "both" else f"{colour} shape" if kind == "colour" else shape
    negated = rng.random() < negated_share
    if negated:
        texts = NOT_YES_NO if kind == "both" or rng.random() < 0.7 else TALK_NOT[:2] if kind == "colour" else TALK_NOT[2:]
    elif rng.random() < 0.45:
        texts = YES_NO
    else:
        texts = TALK_IS_COLOUR if kind == "colour" and rng.random() < 0.7 else TALK_YES_NO
    text = rng.choice(texts)
    bare = colour if texts in (TALK_IS_COLOUR, TALK_NOT[:2]) else words
    text = text.replace("{w}", bare or words).replace("{v}", words).replace("{W}", (bare or words).capitalize())
    facts = Facts(picture, 1 + COLOURS.index(colour) if colour else 0, 1 + SHAPES.index(shape) if shape else 0, negated)
    if not picture:
        return say(rng, text, picture), NO_PICTURE, facts
    return say(rng, text, picture), f"{'Yes' if fits != negated else 'No'}, it is {described(picture)}.", facts


def small_talk(rng, picture):
    if rng.random() < 0.3:
        words = [rng.choice(FILLER) for _ in range(rng.randint(2, 6))]
        text = rng.choice(TOPICS) if rng.random() < 0.4 else " ".join(words).capitalize() + rng.choice("?.. ").rstrip()
        return say(rng, text, None), SORRY, Facts(picture)
    reply = rng.choice(list(SMALL))
    text = rng.choice(SMALL[reply])
    if text[-1] not in "?.!" and rng.random() < 0.5:
        text += rng.choice(".!!")
    return say(rng, text, None), reply, Facts(picture)


def conversation(rng, pick, turns, negated_share=0.4, calm=False):
    """A list of messages with `turns` replies. `pick()` gives a picture's (index, picture). calm: every turn asks about the one
    picture, nothing else happens."""
    messages, picture = [], None

    def user(text, index=None):
        messages.append({"role": "user", "text": text, "picture": index})

    def assistant(text, facts):
        messages.append({"role": "assistant", "text": text, "facts": facts.row()})

    def question():
        return (open_question(rng, picture) if rng.random() < 0.5 else closed_question(rng, picture, negated_share))

    if rng.random() < 0.3:
        messages.append({"role": "system", "text": rng.choice(SYSTEM)})
    for turn in range(turns):
        index = None
        chance = rng.random()
        if picture is None and (turn == 0 and chance < 0.82 or turn > 0 and chance < 0.7 or calm) or \
                picture is not None and not calm and chance < 0.18:
            new = picture is not None
            index, picture = pick()
            way = rng.random()
            if way < 0.12 or new and way < 0.25:  # no words, or words that ask for a description
                text = "" if not new or way < 0.12 else say(rng, rng.choice(NEW_PICTURE), None)
                user(text, index)
                assistant(open_reply("both", picture), Facts(picture, ASKS_COLOUR, ASKS_SHAPE))
                continue
            if way < 0.37:  # the picture first, the question as a message of its own
                user("", index)
                index = None
            text, reply, facts = question()
        elif not calm and rng.random() < 0.15 or picture is None and rng.random() < 0.6:
            text, reply, facts = small_talk(rng, picture)
        elif picture is not None and rng.random() < 0.04 and not calm:
            text, reply, facts = rng.choice(SURE), f"Yes, it is {described(picture)}.", Facts(picture)
        else:
            text, reply, facts = question()
        user(text, index)
        assistant(reply, facts)
    return messages


def corpus():
    """Every text that the tokenizer should have words for."""
    texts = SYSTEM + ASK_COLOUR + ASK_SHAPE + TALK_COLOUR + TALK_SHAPE + TALK_BOTH + NEW_PICTURE + SURE + YES_NO + NOT_YES_NO
    texts += TALK_YES_NO + TALK_IS_COLOUR + TALK_NOT + TOPICS + FILLER + COLOURS + SHAPES + list(SMALL) + [SORRY, NO_PICTURE]
    texts += ["Yes, it is a blue triangle.", "No, it is a blue triangle.", "It is a", "user", "assistant", "system",
              "pictures", "grey", "picture", "photo"]
    for group in SMALL.values():
        texts += group
    return texts
