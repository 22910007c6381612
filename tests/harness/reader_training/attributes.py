"""Kinds of entities with the shapes of their names (COMMON: of common nouns), and the table of their attributes.

Knows wordings and kinds only.

ATTRIBUTES: one relation a line, `kinds; value; nouns`, worded by the generic wordings in `facts` with one of the nouns.
In name shapes `[a|b]` draws one of several; {w}, {x} are name words, {l} one in lower case, {i} a number, {c} a code,
{t} a title. A leading `!` keeps a relation out of training, for the held-out evaluation.
"""

COMMON = {
    "building": "[tower|mill|barn|chapel|house|hut|shed]",
    "bridge": "bridge",
    "room": "[room|cellar|archive|hall|office|attic]",
    "ship": "[ferry|boat|barge|ship]",
    "vehicle": "[truck|van|tractor|cart]",
    "machine": "[pump|oven|press|crane|engine|saw|motor]",
    "device": "[scanner|camera|printer|radio]",
    "product": "[lamp|kettle|chair|tent]",
    "project": "project",
    "meeting": "[meeting|workshop|committee|session]",
    "server": "[server|database|router|mirror]",
    "service": "[service|queue|gateway|job]",
    "safe": "[safe|locker|gate|vault]",
    "account": "account",
    "contract": "[contract|lease|agreement]",
    "package": "[crate|parcel|box|trunk]",
    "recipe": "[stew|pie|bread|soup|cake|dough]",
    "species": "[bird|beetle|fish|moss]",
    "event": "[fair|race|concert|exhibition]",
    "tool": "[wrench|saw|ladder|key|hammer]",
    "team": "[team|crew|choir|club|society]",
    "shop": "[bakery|bookshop|café|pharmacy]",
    "museum": "museum",
    "plant": "[rose|oak|lily|bush]",
    "sensor": "sensor",
    "experiment": "[trial|experiment|test]",
}

SURFACES = {
    "building": "the {w} [Tower|Castle|lighthouse|Mill|Chapel|Theatre|Hall|Palace|observatory|warehouse]",
    "hill": "[Mount {w}|the {w} Hill|{w} Peak]",
    "bridge": "the {w} [Bridge|Viaduct|bridge]",
    "road": "the {w} [Road|Trail|highway]",
    "room": "[room {c}|the {w} room|the {w} [archive|laboratory|workshop|cellar|vault]]",
    "field": "the {w} field",
    "ship": "the [{w}|{w} {x}|ship {w}|steamer {w}|ferry {w}]",
    "vehicle": "the [truck|van|tractor] {w}",
    "machine": "the [{w} [pump|press|turbine|crane|loom|boiler|compressor|lathe]|{w}-{i} [engine|robot|drill]|pump {c}]",
    "device": "the [{w} [scanner|camera|printer|router|radio]|{w} {i}]",
    "product": "the [{w} [lamp|bicycle|tent|kettle|chair]|{w} {i}]",
    "town": "{w}",
    "country": "[{w}|the {w} Republic|the Kingdom of {w}]",
    "river": "the [River {w}|{w} river|{w}]",
    "lake": "[Lake {w}|the {w} lake]",
    "org": "{org}",
    "person": "{person}",
    "team": "the {w} [team|crew|squad|club]",
    "project": "[project {w}|Project {w} {x}|the {w} project|the {w} programme]",
    "meeting": "the {w} [meeting|seminar|review|workshop]",
    "server": "[the server {l}-{i}|{l}{i}|the {l} server|the {l} cluster]",
    "service": "the {l} [service|daemon|queue|gateway|module]",
    "safe": "the {w} [safe|vault|locker|strongbox]",
    "account": "[the {w} account|account {c}]",
    "book": "[the book|the novel|] {t}",
    "contract": "[the {w} contract|contract {c}|the {w} agreement|the lease of {w}]",
    "package": "[parcel {c}|the {w} crate|crate {c}|box {c}]",
    "recipe": "the {w} [stew|pie|bread|pudding]",
    "species": "the {w} [finch|beetle|bat|orchid|trout|fern|frog]",
    "material": "[{w}ite|the alloy {c}|{w} steel]",
    "event": "the {w} [fair|marathon|conference|exhibition]",
    "tool": "the {w} [wrench|saw|ladder]",
    "festival": "the {w} festival",
    "train": "[train {c}|the {w} Express]",
    "bus": "bus {i}",
    "plant": "the {w} [rose|oak|lily|cactus]",
    "shop": "the {w} [bakery|bookshop|café|pharmacy]",
    "museum": "the {w} Museum",
    "library": "the {w} Library",
    "patient": "patient {c}",
    "star": "the [star|planet|comet|moon] {w}",
    "experiment": "[experiment {c}|the {w} trial|test run {i}]",
    "painting": "[the painting|] {t}",
    "film": "the film {t}",
    "role": "the [[chief|head|senior|deputy|assistant|first|former|town|night|] {r}|{l} {r}|{r} of {w}|{r} of the {p}]",
    "abbreviation": "{a}",
    "sensor": "[sensor {c}|the {w} sensor|probe {c}]",
    "licence": "the {w} licence",
    "hotel": "the {w} hotel",
    "mine": "the {w} mine",
    "parcel": "the {w} parcel",
    "orchestra": "the {w} orchestra",
    "satellite": "the satellite {w}",
    "song": "the song {t}",
    "horse": "the horse {w}",
    "tunnel": "the {w} tunnel",
    "vineyard": "the {w} vineyard",
}

ATTRIBUTES = """
building,hill; metres; height, elevation, total height
building,bridge,road; metres; length, total length, span
room,building,field; area; area, floor area, surface
room; count; capacity, number of seats, seating
room,building; place_in; location
building,ship,machine,product; colour; colour, paint colour, finish
ship; metres; draught, depth of keel
ship,vehicle; speed; top speed, maximum speed, cruising speed
ship,vehicle; code; registration, call sign, hull number
ship,team; person; captain, master, skipper
town,country; big; population, number of inhabitants
country; town; capital, capital city, seat of government
country; word; currency
country,town; language; official language, main language
town; person; mayor
town,hill; metres; altitude, height above sea level
river; km; length, total length
river,lake; metres; depth, greatest depth
lake; area; surface area
country,org; person; president, head
org,team; person; director, chair, chairperson, leader
org; town; headquarters, head office, seat, main office
org; person; founder
org; money; annual budget, yearly budget, budget
org; big; number of employees, headcount, staff
org; phone; phone number, telephone number, switchboard
org,person; email; email address, e-mail
org; code; tax number
org,project; code; registration number
org,project; code; cost centre
org; phrase; motto, slogan
person; ext; extension, phone extension, desk phone
person; job; job title, position, profession, occupation
person; food; favourite food, favourite dish, favourite meal
person; colour; favourite colour
person; animal; pet, favourite animal
person; hobby; hobby, pastime
person; town; home town, birthplace, place of birth
person; date; birthday, date of birth
person; room; office, desk location
person; code; employee number, badge number, staff number
person; money; salary, monthly wage, daily rate
person; count; age
person; person; supervisor, line manager
person; person; mentor
person; person; deputy, substitute
project,team; person; manager, project lead, owner, coordinator
project; date; deadline, due date, closing date, target date
project; date; kick-off date, start date, launch date
project; money; budget, approved budget, funding
project; code; project code, code name, file reference
project; percent; completion, progress
project,team; weekday; meeting day, day of the weekly meeting
project,meeting; clock; meeting time, starting time
meeting; room; room, venue, meeting place
meeting; person; speaker, main speaker
meeting; person; host, moderator
meeting; date; date
meeting; phrase; topic, main topic, theme
machine,device; code; serial number, model number, asset tag
machine,device; power; power consumption, power rating, rated power
machine,device; volt; voltage, operating voltage, supply voltage
machine,product,device; kg; weight, mass, net weight
machine; temp; operating temperature, working temperature, maximum temperature
machine; pressure; pressure, operating pressure, working pressure
machine; rpm; speed, rotation speed
machine,device; days; service interval, maintenance interval, inspection interval
machine,device; person; operator, responsible technician
machine; liquid; lubricant, coolant
machine,product; org; manufacturer, maker, supplier
product,device; months; warranty, warranty period, guarantee
product,book; money; price, retail price, list price
product; code; article number, order number, product code, stock code
product; material; material, casing material
product; days; delivery time, lead time
product; percent; discount, rebate
product; count; stock, number in stock, quantity on hand
product; country; country of origin, origin
product; date; expiry date, best-before date
book; person; author, writer
book; count; number of pages, page count
book; org; publisher
book; year; year of publication, publication year
book; code; shelf mark, catalogue number, call number
book; person; translator
book; person; illustrator
book; person; editor
server,device; ip; IP address, address
server,service; port; port, port number, listening port
server; os; operating system
server; gb; memory, amount of RAM
server; gb; disk size, disk space, storage
server,service; version; version, current version, installed version
server,service; person; administrator, maintainer
server,service; clock; backup time, time of the nightly backup, restart time
service; seconds; timeout, default timeout, request timeout
service; count; retry limit, maximum number of retries, retries
service; count; rate limit, request limit
service; identifier; environment variable, configuration key, config option
service; filename; log file, configuration file, config file
service; language_code; programming language, implementation language
service; identifier; default user, service account, database user
room,safe,server,service,account; secret; password, passphrase
room,safe,building; secret; access code, door code, entry code
account,safe; secret; PIN
safe,account; secret; combination
safe,account; secret; unlock code, security code
account; money; balance, current balance
account; code; account number
account; code; customer number
account; percent; interest rate, annual interest rate
contract; date; expiry date, end date, termination date
contract; date; signing date, date of signature
contract; money; value, contract value, total amount
contract; days; notice period, cancellation period
contract; org; counterparty, contractor, other party
contract; code; reference, reference number, contract number
package; place_in; storage place, storage location
package; code; tracking number, consignment number
package; kg; weight, gross weight
package; town; destination
recipe; minutes; cooking time, baking time, preparation time
recipe; food; main ingredient, secret ingredient
recipe; temp; oven temperature, baking temperature
recipe; count; number of servings, servings
species; place_in; habitat
species; food; diet, main food, preferred food
species; cm; body length, size
species; cm; wingspan
species; years; lifespan, life expectancy
species; latin; scientific name, Latin name
species; count; clutch size, litter size
material; temp; melting point
material; density; density
material; colour; colour
event,festival; date; date
event,festival; town; venue, location, host town
event; org; organiser, main sponsor, sponsor
event; money; entrance fee, ticket price, admission
event; count; number of participants, attendance
train,bus; clock; departure time, departure
train,bus; clock; arrival time, arrival
train,bus; platform; platform, track
train,bus; town; terminus, final destination, last stop
plant; cm; height
plant; month; flowering month, flowering time
shop,museum,library; hours; opening hours, hours, visiting hours
shop,museum; weekday; closing day, day off
shop; street; address, street address
patient; code; patient number, file number
patient; medicine; medication, prescribed medicine
patient; dose; daily dose, dosage
role; ext; extension, phone extension
role; room; office
star; big; distance
star; days; orbital period
experiment; percent; yield
experiment; percent; error rate
experiment; percent; success rate
experiment; temp; temperature, reaction temperature
experiment; material; sample
experiment; material; catalyst
painting; person; painter, artist
painting; money; estimate, insured value
painting; material; medium
film; person; director
film; person; lead actor
film; minutes; running time, duration
sensor; place_in; mounting place, position
sensor; temp; alarm threshold, threshold, limit
sensor; minutes; sampling interval, reporting interval
licence; date; renewal date
licence; code; licence key
licence; code; licence number
! vehicle; code; chassis number
! hotel; count; number of rooms, number of beds
! mine; big; annual output, yearly production
! parcel; phrase; contents, content
! orchestra; person; conductor
! satellite; date; launch day
! song; person; composer
! horse; person; trainer
! tunnel; metres; diameter, clearance
! vineyard; word; grape, grape variety
"""
