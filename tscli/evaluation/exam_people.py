"""Statements and questions of relations, as `exam_relations` reads them: of fairs, firms, reserves and people. Text only."""

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
