"""The relations with wordings of their own, as a table. Knows wordings only; `facts` draws names and values.

Blocks of `kinds; value`, then statements (`=`) and questions (`?`). `[a|b]` draws one of several, {e} is the entity and {v}
the value. A leading `!` keeps a relation or a wording out of training, for the held-out evaluation.
"""

VERBS = """
building,bridge; year
= {e} was [built|constructed|erected|completed|finished] in {v}
= [Construction|Building work] of {e} was [finished|completed] in {v}
= In {v}, {e} was finally [completed|opened|put up]
! = {v} saw the completion of {e}
? [When|In which year|In what year] was {e} [built|constructed|completed|finished|erected]?
? [What|Which] year was {e} [completed|built]?
! ? How long ago, that is in which year, did they put up {e}?

building,bridge,ship,machine; person
= {e} was [designed|drawn|planned] by {v}
= {v} [designed|drew up the plans for|was the designer of|was the architect of] {e}
? Who [designed|planned|drew up the plans for|was the architect of|was the designer of] {e}?
? By whom was {e} designed?

org,town,team; year
= {e} was [founded|established|set up|created] in {v}
= {e} [dates from|has existed since|goes back to] {v}
? [When|In which year] was {e} [founded|established|set up|created]?
? Since [when|what year] has {e} existed?

org,town,team,museum; person
= {e} was [founded|established|set up|started] by {v}
= {v} [founded|set up|established|started] {e}
? Who [founded|set up|established|started|was the founder of] {e}?

org,shop,museum,library,project,team; person
= {v} [manages|runs|leads|heads|is in charge of|is responsible for] {e}
= {e} is [run|led|managed|headed] by {v}
= [Responsibility for|Management of] {e} lies with {v}
? Who [manages|runs|leads|heads|is in charge of|is responsible for] {e}?
? [By whom is {e} run?|Who is the head of {e}?]

book,song; person
= {e} was [written|composed|penned] by {v}
= {v} [wrote|is the author of|penned] {e}
? Who [wrote|is the author of|penned] {e}?
? [By whom was {e} written?|Who was {e} written by?]

town,country,festival; phrase
= {e} is [known|famous|best known|renowned] for {its} {v}
= [Visitors|People] come to {e} [because of|to see|for] the {v}
? What is {e} [known|famous|best known] for?
? Why do [visitors|people] come to {e}?

machine,server,service,train,ship; cause
= {e} [failed|broke down|stopped working|went out of service] because of {v}
= The [failure|breakdown|outage] of {e} was [caused by|due to|traced to] {v}
= [Engineers|The investigators|The technicians] traced the [failure|outage|breakdown] of {e} to {v}
? What caused the [failure|breakdown|outage] of {e}?
? Why did {e} [fail|break down|stop working|go out of service]?
? What was [the reason for|behind] the [failure|breakdown] of {e}?

package,tool,book,painting,product; place_in
= {e} is [stored|kept|located|held] {v}
= You [will find|can find] {e} {v}
= {e} [was found|had been put|was left] {v}
? Where is {e} [stored|kept|located]?
? Where [can I|do I|can you] find {e}?
? Where was {e} [left|found|put]?

meeting; room
= {e} [takes place|will be held|is held|meets] in {v}
= {v} has been [booked|reserved] for {e}
? [Where|In which room] [does {e} take place|is {e} held]?
? [Which|What] room [has been booked|is reserved] for {e}?

meeting,event,film; clock
= {e} [starts|begins|opens] at {v}
= The [start|beginning] of {e} is [set for|planned for] {v}
? [When|At what time|What time] does {e} [start|begin|open]?

train,bus,ship; clock
= {e} [leaves|departs|sets off] at {v}
? [When|At what time] does {e} [leave|depart|set off]?

train,bus,ship; town
= {e} [goes to|runs to|is bound for|ends in] {v}
? Where does {e} [go|run to|end]?
? What is the destination of {e}?

ship; year
= {e} was [launched|commissioned|put into service] in {v}
= {e} [sank|was lost|went down] in {v}
? [When|In which year] was {e} [launched|commissioned|put into service]?

person; town
= {e} [lives in|comes from|grew up in|moved to] {v}
= {e} [was born in|is from] {v}
? [Where|In which town] does {e} live?
? Where [does {e} come from|was {e} born]?

person; org
= {e} works [for|at] {v}
= {v} [employs|hired] {e}
? [Where|For whom] does {e} work?
? Who employs {e}?

person; food
= {e} [likes|loves|always orders|prefers] {v}
= {e} [cannot do without|is very fond of] {v}
? What does {e} [like|love|always order|prefer]?
? What is {e} [very fond of|fond of]?

person; phrase
= {e} [carried|bought|lost|sold|brought|found] the {v}
? What did {e} [carry|buy|lose|sell|bring|find]?

person; person
= {e} is married to {v}
= {e} [reports to|answers to] {v}
= {e} was [replaced|succeeded] by {v}
? Who is {e} married to?
? Who does {e} report to?
? Who [replaced|succeeded] {e}?

person,org; phrase
= {e} [invented|discovered|developed|introduced] the {v}
= The {v} was [invented|discovered|developed] by {e}
? What did {e} [invent|discover|develop|introduce]?

product,machine,room,device; money
= {e} [costs|is sold for|sells at|cost] {v}
= [The price of|They paid] {v} for {e}
= The price of {e} is {v}
? How much [does {e} cost|did {e} cost|is {e}]?
? What is the price of {e}?

product,machine,package; kg
= {e} weighs {v}
? How [heavy is {e}|much does {e} weigh]?
? What does {e} weigh?

building,hill,plant; metres
= {e} is {v} [high|tall]
= {e} [rises|stands] {v} above the ground
? How [high|tall] is {e}?
? What is the height of {e}?

bridge,river,road; km
= {e} is {v} long
= {e} [has a length of|stretches over|extends for] {v}
? How long is {e}?
? What is the length of {e}?

lake,mine; metres
= {e} is {v} deep
? How deep is {e}?
? What is the depth of {e}?

machine,product,building; material
= {e} is [made of|made from|built of|built from] {v}
= {v} was used [to make|to build|for] {e}
? What is {e} [made of|made from|built of]?
? [Which|What] material was used for {e}?

town,country,building,mine; place_rel
= {e} [lies|is situated|is located|is found] {v}
? Where [is|lies] {e}?
? Where is {e} [located|situated]?

product,device; months
= {e} [comes with|has|carries] a warranty of {v}
= {e} is [guaranteed|under warranty] for {v}
? How long is {e} [under warranty|guaranteed]?
? How long is the warranty [of|for|on] {e}?

shop,museum,library; hours
= {e} is open {v}
= [Opening hours of|Visiting hours at] {e} are {v}
? When is {e} open?
? What are the opening hours of {e}?

service,server; port
= {e} [listens|runs|accepts connections] on port {v}
? [Which|What] port does {e} [listen on|use|run on]?

service; seconds
= {e} [waits|gives up after|times out after] {v}
? After how long does {e} [time out|give up]?
? How long does {e} wait before it gives up?

recipe; food
= {e} [contains|is made with|calls for|needs] {v}
? What does {e} [contain|call for|need]?
? What is {e} made with?

species; food
= {e} [eats|feeds on|lives on] {v}
? What does {e} [eat|feed on|live on]?

species,plant; place_in
= {e} [lives|is found|grows|occurs] {v}
? Where [does {e} live|is {e} found|does {e} grow]?

contract,project,licence; date
= {e} [ends on|expires on|runs out on|runs until] {v}
= {e} must be [finished|completed|delivered|handed in] by {v}
? When does {e} [end|expire|run out]?
? By when must {e} be [finished|completed|delivered]?

event,festival,museum; date
= {e} [takes place on|will be held on|opens on] {v}
? [When|On what date|On which day] [does {e} take place|will {e} be held|does {e} open]?

team; phrase
= {e} won the {v}
= The {v} was [awarded|given] to {e}
? What did {e} win?
? What was {e} awarded?

building,safe,museum; person
= The key to {e} is [kept by|held by|with] {v}
= {v} [has|keeps|holds] the key to {e}
? Who [has|keeps|holds] the key to {e}?

machine,service; phrase
= {e} was replaced by the {v}
= The {v} took the place of {e}
? What [replaced|took the place of] {e}?
? What was {e} replaced by?

ship,person,train,package,team; date
= {e} [arrived|came back|returned] on {v}
= On {v} {e} [arrived|came back|returned]
? When did {e} [arrive|come back|return]?

person; year
= {e} [died|passed away] in {v}
= {e} [retired|left the company] in {v}
? When did {e} [die|pass away|retire|leave the company]?

person,team,ship; place_in
= {e} [waited|was found|stood|hid] {v}
= They [saw|found|met] {e} {v}
? Where [did {e} wait|was {e} found|did they meet {e}]?

person; job
= {e} [is a|works as a|was a|became a|used to be a] {v}
= {e}, a {v}, [signed the letter|was there too|came by train|has three children]
? What [is {e}'s job|does {e} do for a living|did {e} work as|is the profession of {e}]?

team,project,org,service; phrase
= {e} [chose|selected|voted for|decided on|agreed on] the {v}
= The {v} was [chosen|selected] by {e}
? What did {e} [choose|select|vote for|decide on|agree on]?

role; person
= {e} is {v}
= {v} is {e}
= {v} [was appointed|works as|became|has been|was made] {e}
= {v}, {e}, [opened the meeting|signed it|was there too|answers all letters|came by train]
= {e}, {v}, [opened the meeting|signed it|was there too|answers all letters|came by train]
? Who is {e}?
? Who was {e}?
? What is the name of {e}?
? [Who works as|Who became|Who was made] {e}?

train,ship,bus,meeting,film; minutes
= {e} takes {v}
= {e} [lasts|is over after] {v}
? How long does {e} [take|last]?

building,ship,vehicle,product,room,plant; colour
= {e} is [painted|] {v}
= They painted {e} {v}
? What colour is {e}?
? [Which|What] colour was {e} painted?

person; count
= {e} is {v} years old
= {e} turned {v} [last year|this spring|yesterday]
? How old is {e}?

ship,vehicle,train; speed
= {e} [does|makes|runs at|reaches] {v}
? How fast [is|does] {e} [|go|run]?

abbreviation; phrase
= {e} stands for {v}
= {e} [means|is short for] {v}
? What does {e} [stand for|mean]?

room,safe,museum,package; phrase
= The {v} is [kept|stored|hidden] in {e}
= {e} [holds|contains|houses] the {v}
? What is [kept|stored|hidden] in {e}?
? What does {e} [hold|contain|house]?

event,festival; person
= {v} won {e}
= {e} was won by {v}
? Who won {e}?

tool,material,plant,device; phrase
= {e} is used for the {v}
= {e} [serves|is meant] for the {v}
? What is {e} [used|meant] for?

recipe; temp
= {e} is [baked|kept|cooked] at {v}
? At what temperature is {e} [baked|kept|cooked]?

! tool; person
= {e} was borrowed by {v}
= {v} has borrowed {e}
? Who borrowed {e}?

! painting,book; town
= {e} was stolen in {v}
= Thieves took {e} in {v}
? Where was {e} stolen?

! building,ship; year
= {e} burned down in {v}
= A fire destroyed {e} in {v}
? In which year did {e} burn down?
? When was {e} destroyed by fire?

! star,species; person
= {e} was first described by {v}
= {v} gave the first description of {e}
? Who first described {e}?

! machine; identifier
= {e} is switched off with the command {v}
? Which command switches off {e}?
"""
