"""What the documents of a blind exam say of things and people: relations, and how each is stated and asked for. Text only.

{s} is what it is said of, {v} what is said. A reworded question shares no word of meaning with a statement of its relation.
"""

from __future__ import annotations

from dataclasses import dataclass

_HEADS = ("says", "asks", "rewords", "role")


@dataclass(frozen=True)
class Relation:
    """subject: the kind of thing that it is said of, value: the kind of value, see `exam_names`. role: how the person who is
    the value may be called instead, empty where it is none."""

    name: str
    subject: str
    value: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    reworded: tuple[str, ...]
    role: str = ""


CLUB = """
chair club person
says {v} was elected chair of {s} without a vote against.
says At present the chair of {s} is {v}.
says {s} has been chaired by {v} since the autumn.
says As chair of {s}, {v} sees to it that meetings end on time.
asks Who is the chair of {s}?
asks Who chairs {s}?
asks What is the name of the chair of {s}?
rewords Who presides over {s}?
rewords Who is the head of {s}?
role the chair of {s}

treasurer club person
says The treasurer of {s} is {v}.
says {v} has agreed to stay on as treasurer of {s}.
says As treasurer of {s}, {v} read out the figures.
says {s} thanked its treasurer, {v}, with a potted plant.
asks Who is the treasurer of {s}?
asks Who is treasurer of {s}?
asks What is the name of the treasurer of {s}?
rewords Who looks after the money of {s}?
rewords Who keeps the accounts of {s}?
role the treasurer of {s}

founded club year
says {s} was founded in {v}.
says The founding of {s} goes back to {v}.
says It was in {v} that {s} was founded, in somebody's kitchen.
says Nobody is alive today who was there when {s} was founded in {v}.
asks When was {s} founded?
asks In which year was {s} founded?
asks What year was {s} founded in?
rewords In what year did {s} come into being?
rewords Since what year has {s} existed?

fee club money:5-60
says A year's membership of {s} costs {v}.
says The membership fee of {s} is {v}.
says Members of {s} pay a fee of {v}, due in January.
says {s} has set its membership fee at {v}.
asks How much is the membership fee of {s}?
asks What is the membership fee of {s}?
asks How much do members of {s} pay?
rewords What is the price of joining {s}?
rewords How much must somebody hand over to belong to {s}?

inn club inn
says {s} meets at the {v}.
says The meetings of {s} are held at the {v}.
says In winter and summer alike, {s} meets upstairs at the {v}.
says The landlord of the {v} keeps a room free in which {s} meets.
asks Where does {s} meet?
asks At which inn does {s} meet?
asks Where are the meetings of {s} held?
rewords Under what roof do the people of {s} come together?
rewords Which public house is the regular home of {s}?

members club count:12-190 members
says {s} has {v}.
says With {v}, {s} is larger than it has ever been.
says {s} counted {v} at the end of the year.
says The list of {s} now runs to {v}.
asks How many members does {s} have?
asks How many members are there in {s}?
asks What is the number of members of {s}?
rewords How many people belong to {s}?
rewords How many names are on the books of {s}?
"""
BUILDING = """
built building year
says {s} was built in {v}.
says The figures over the door of {s}, {v}, say when it was built.
says Built in {v}, {s} has outlived three owners.
says {s} was built of local stone in {v}.
asks When was {s} built?
asks In which year was {s} built?
asks What year was {s} built?
rewords In what year was {s} put up?
rewords From what year does {s} date?

architect building person
says The architect of {s} was {v}.
says {s} is the work of the architect {v}.
says The architect {v} drew the plans of {s} on the back of a menu.
says For {s} the parish chose an architect from the county, {v}.
asks Who was the architect of {s}?
asks Which architect drew the plans of {s}?
asks What was the name of the architect of {s}?
rewords Who designed {s}?
rewords Whose drawing board did {s} come from?
role the architect of {s}

caretaker building person
says The caretaker of {s} is {v}.
says {v} has been caretaker of {s} for longer than anyone remembers.
says Keys to {s} can be had from the caretaker, {v}.
says The caretaker of {s}, {v}, asks that chairs be lifted and not pushed.
asks Who is the caretaker of {s}?
asks Who is caretaker of {s}?
asks What is the name of the caretaker of {s}?
rewords Who looks after {s}?
rewords Who sweeps and locks {s}?
role the caretaker of {s}

height building count:9-70 metres
says {s} is {v} high.
says At {v}, {s} is the highest building for miles.
says Measured from the doorstep, {s} is {v} high.
says The weathercock on {s} stands {v} high.
asks How high is {s}?
asks What is the height of {s}?
asks How high does {s} stand?
rewords How tall is {s}?
rewords How far up does {s} reach?

roof building material
says The roof of {s} is covered with {v}.
says The roof of {s} was laid anew, in {v}.
says {s} has a roof of {v}.
says For the roof of {s} the builders chose {v}.
asks What is the roof of {s} covered with?
asks What is the roof of {s} made of?
asks Which material is on the roof of {s}?
rewords What keeps the rain out of {s}?
rewords What lies on top of {s} against the weather?

rent building money:20-400
says An evening in {s} costs {v}.
says {s} is let for {v} an evening.
says The rent of {s} is {v} for an evening.
says Wedding guests paid a rent of {v} for {s}, and the same again for broken glasses.
asks What is the rent of {s}?
asks How much is the rent of {s} for an evening?
asks What does an evening in {s} cost?
rewords What is charged for the hire of {s}?
rewords How much money must one put down to give a party in {s}?
"""
BOAT = """
skipper boat person
says The skipper of {s} is {v}.
says {v} is skipper of {s}, and has been since the spring.
says {s} sails with {v} as her skipper.
says Her skipper, {v}, would not change {s} for a newer boat.
asks Who is the skipper of {s}?
asks Who is skipper of {s}?
asks What is the name of the skipper of {s}?
rewords Who commands {s}?
rewords Who is in charge on board {s}?
role the skipper of {s}

length boat count:7-48 metres
says {s} is {v} long.
says From stem to stern {s} measures {v}.
says {s} has a length of {v}.
says At a length of {v}, {s} only just fits the lock.
asks How long is {s}?
asks What is the length of {s}?
asks What does {s} measure from stem to stern?
rewords How much quay does {s} take up?
rewords What size is {s}?

hull boat colour
says The hull of {s} is painted {v}.
says {s} has a {v} hull.
says For the third time the hull of {s} was painted {v}.
says You will know {s} by her {v} hull.
asks What colour is the hull of {s}?
asks In which colour is the hull of {s} painted?
asks What colour has the hull of {s} been painted?
rewords Which shade does {s} wear?
rewords In what tint does {s} go to sea?

cargo boat goods
says {s} carries {v}.
says {s} was loaded with {v} when she came in.
says The cargo of {s} is {v}.
says This season {s} has taken {v} as her cargo.
asks What is the cargo of {s}?
asks What does {s} carry?
asks What is {s} loaded with?
rewords What goods are brought aboard {s}?
rewords What is in the hold of {s}?

port boat place
says The home port of {s} is {v}.
says {s} has her home port at {v}.
says {s} returns each night to her home port, {v}.
says Her papers name {v} as the home port of {s}.
asks What is the home port of {s}?
asks Which is the home port of {s}?
asks Where does {s} have her home port?
rewords Where is {s} based?
rewords At which harbour does {s} belong?
"""
FAIR = """
organiser fair person
says The organiser of {s} is {v}.
says {s} is organised by {v}.
says {v} has organised {s} for the fifth time.
says Offers of help for {s} go to its organiser, {v}.
asks Who is the organiser of {s}?
asks Who organises {s}?
asks What is the name of the organiser of {s}?
rewords Who runs {s}?
rewords Who is responsible for arranging {s}?
role the organiser of {s}

visitors fair count:310-9800 visitors
says {s} drew {v}.
says This year {v} came to {s}.
says The gate of {s} counted {v}.
says With {v}, {s} broke its own record.
asks How many visitors came to {s}?
asks How many visitors did {s} have?
asks What was the number of visitors at {s}?
rewords How many people attended {s}?
rewords How large a crowd turned up for {s}?

prize fair prize
says First prize at {s} was {v}.
says The winner of {s} was given {v} as the prize.
says The prize at {s}, {v}, went to a child.
says {v} was the prize at {s}.
asks What was the first prize at {s}?
asks What was the prize at {s}?
asks Which prize was given to the winner of {s}?
rewords What did the best competitor carry away from {s}?
rewords What was the reward for coming out on top at {s}?

judge fair person
says The judge at {s} was {v}.
says {v} was asked to be the judge at {s}.
says {s} was judged by {v}, who tasted everything.
says The judge at {s}, {v}, came by the early train.
asks Who was the judge at {s}?
asks Who judged {s}?
asks What was the name of the judge at {s}?
rewords Who decided on the placings at {s}?
rewords Whose verdict settled {s}?
role the judge at {s}

opening fair date
says {s} begins on {v}.
says {s} opens on {v}, whatever the weather.
says The opening of {s} is fixed for {v}.
says {v} is the day on which {s} begins.
asks When does {s} begin?
asks On which day does {s} open?
asks When is the opening of {s}?
rewords What date should be kept free for {s}?
rewords From when on can people go to {s}?
"""
FIRM = """
owner firm person
says The owner of {s} is {v}.
says {s} belongs to {v}, the owner in the third generation.
says {v} became the owner of {s} by marriage.
says As owner of {s}, {v} signs every bill.
asks Who is the owner of {s}?
asks Who owns {s}?
asks What is the name of the owner of {s}?
rewords Whose property is {s}?
rewords Who is the proprietor of {s}?
role the owner of {s}

staff firm count:4-95 people
says {s} employs {v}.
says There is work at {s} for {v}.
says {v} are employed at {s}.
says The wages of {v} are paid by {s}.
asks How many people does {s} employ?
asks How many people are employed at {s}?
asks For how many people is there work at {s}?
rewords How large is the workforce of {s}?
rewords How many hands have a job at {s}?

speciality firm dish
says {s} is known for its {v}.
says The speciality of {s} is {v}.
says Whole families drive a long way for the {v} of {s}.
says On Saturdays {s} sells nothing but {v}.
asks What is {s} known for?
asks What is the speciality of {s}?
asks Which speciality does {s} sell?
rewords What made {s} famous?
rewords Which treat do customers of {s} ask for most?

telephone firm code
says The telephone number of {s} is {v}.
says Orders for {s} are taken on telephone number {v}.
says {s} can be telephoned on {v}.
says To order from {s}, telephone {v}.
asks What is the telephone number of {s}?
asks On which number can {s} be telephoned?
asks Which number does one telephone to order from {s}?
rewords What do you have to dial to reach {s}?
rewords Which digits make it ring at {s}?

opened firm year
says {s} was opened in {v}.
says {s} first opened its doors in {v}.
says Opened in {v}, {s} has had the same sign ever since.
says The first customer of {s} came in {v}, on the day it opened.
asks When was {s} opened?
asks In which year did {s} open?
asks What year was {s} opened in?
rewords Since what year has {s} been in business?
rewords How long ago, by the calendar, did {s} begin to sell?
"""
RESERVE = """
warden reserve person
says The warden of {s} is {v}.
says {v} is the warden of {s} and lives at its edge.
says Ask the warden of {s}, {v}, before you light a fire.
says For twelve years {v} has been warden of {s}.
asks Who is the warden of {s}?
asks Who is warden of {s}?
asks What is the name of the warden of {s}?
rewords Who watches over {s}?
rewords Who takes care of {s}?
role the warden of {s}

area reserve count:12-940 hectares
says {s} covers {v}.
says {s} has an area of {v}.
says The area of {s} is {v}, not counting the ditches.
says Since the last purchase {s} covers {v}.
asks What is the area of {s}?
asks How large an area does {s} cover?
asks What area does {s} have?
rewords How big is {s}?
rewords What is the extent of {s}?

rarity reserve plant
says The rarest plant in {s} is {v}.
says Botanists come to {s} for {v}, its rarest plant.
says In {s} grows {v}, the rarest plant of the county.
says The rarest plant of {s}, {v}, opens for nine days.
asks What is the rarest plant in {s}?
asks Which plant is the rarest in {s}?
asks What is the name of the rarest plant of {s}?
rewords Which flower is hardest to come across at {s}?
rewords What scarce bloom can be seen at {s}?

donor reserve person
says {s} was given to the county by {v}.
says As a gift of {v}, {s} may never be built on.
says {v} gave {s} to the public.
says The giver of {s} was {v}.
asks Who gave {s} to the county?
asks Who gave {s} to the public?
asks Who was the giver of {s}?
rewords Whose generosity do we owe {s} to?
rewords Which donor made a present of {s}?
role the giver of {s}
"""
PERSON = """
birthplace person place
says {s} was born in {v}.
says {s}, who was born in {v}, still speaks like it.
says Born in {v}, {s} moved here as a child.
says The register says that {s} was born in {v}.
asks Where was {s} born?
asks In which town was {s} born?
asks In what place was {s} born?
rewords Where does {s} come from?
rewords What is the native town of {s}?

instrument person instrument
says {s} plays the {v}.
says On Sundays {s} plays the {v} in church.
says {s} has played the {v} since school.
says The {v} is the instrument that {s} plays.
asks What does {s} play?
asks Which instrument does {s} play?
asks What instrument is played by {s}?
rewords On what does {s} make music?
rewords What does {s} practise, to the regret of the neighbours?

dog person pet
says {s} has a dog called {v}.
says {s} is never seen without a dog, called {v}.
says The dog of {s} is called {v}.
says A dog called {v} belongs to {s}.
asks What is the dog of {s} called?
asks What is the name of the dog of {s}?
asks What has {s} called the dog?
rewords What does the four-legged companion of {s} answer to?
rewords Which word brings the hound of {s} running?

trade person job
says By trade {s} is a {v}.
says {s} works as a {v}.
says {s} learned the trade of a {v}.
says {s} has worked as a {v} since leaving school.
asks What is the trade of {s}?
asks What does {s} work as?
asks What is {s} by trade?
rewords How does {s} earn a living?
rewords What is the occupation of {s}?

house person house
says {s} lives at {v}.
says Letters for {s} are sent to {v}.
says {s} has moved to {v}.
says The door of {v} is opened by {s} alone, who lives there.
asks Where does {s} live?
asks At which house does {s} live?
asks Where are letters for {s} sent?
rewords What is the address of {s}?
rewords Under which roof is {s} at home?
"""


def _read(text: str) -> list[Relation]:
    found = []
    for block in text.strip().split("\n\n"):
        head, *lines = block.split("\n")
        name, subject, value = head.split(" ", 2)
        parts = {kind: tuple(line[len(kind) + 1 :] for line in lines if line.startswith(f"{kind} ")) for kind in _HEADS}
        role = next(iter(parts["role"]), "")
        found.append(Relation(name, subject, value, parts["says"], parts["asks"], parts["rewords"], role))
    return found


RELATIONS = tuple(relation for text in (CLUB, BUILDING, BOAT, FAIR, FIRM, RESERVE, PERSON) for relation in _read(text))
