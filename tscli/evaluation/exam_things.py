"""Statements and questions of relations, as `exam_relations` reads them: of clubs, buildings and boats. Text only."""

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
