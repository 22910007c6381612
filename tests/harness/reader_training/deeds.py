"""Relations in which one wording serves many words, as a table like that of `verbs`. Knows wordings only.

The third field of a block's head lists the words; a fact takes one of them for {n}, in statement and question alike.
"""

DEEDS = """
building,room,ship,machine,tool,book,painting,vehicle,bridge; person; inspected, repaired, painted, closed, cleaned, restored, \
bought, sold, ordered, opened, checked, rented, damaged, photographed, measured, moved, tested, delivered, approved, rejected
= {e} was {n} by {v}
= It was {v} who {n} {e}
= {v} {n} {e}
? Who {n} {e}?
? By whom was {e} {n}?

building,ship,machine,museum,book,bridge,road; year; inspected, repaired, painted, closed, restored, sold, renamed, enlarged, \
rebuilt, modernised, abandoned, measured, moved, tested, approved, extended, replaced, insured, dismantled, reopened
= {e} was {n} in {v}
= In {v} {e} was {n}
? When was {e} {n}?
? In [which|what] year was {e} {n}?

tool,package,book,painting,vehicle,product,device; town; bought, found, repaired, seen, sold, lost, made, delivered, \
assembled, printed, registered, exhibited, packed, unloaded, invented, auctioned, weighed
= {e} was {n} in {v}
= They say that {e} was {n} in {v}
? Where was {e} {n}?
? In which town was {e} {n}?

person,team,org; phrase; found, painted, repaired, ordered, described, missed, chose, wanted, rented, borrowed, cleaned, \
hid, dropped, collected, remembered, forgot, received, noticed, presented, promised, opened, feared, admired
= {e} {n} the {v}
= It was {e} who {n} the {v}
= Yesterday {e} {n} the {v}
? What [was it that {e} {n}|is it that {e} {n}]?
? {e} {n} what?

building,ship,machine,tool,book,painting,vehicle,bridge; date; inspected, repaired, painted, closed, cleaned, sold, opened, \
delivered, approved, rejected, tested, moved, ordered, signed, checked, seen
= {e} was {n} on {v}
= On {v} {e} was {n}
? When was {e} {n}?
? On [which|what] [day|date] was {e} {n}?

building,ship,room,vehicle,town,museum,machine,bus,train,library,org,shop; count; windows, seats, rooms, doors, cabins, steps, \
berths, beds, lamps, shelves, tables, employees, gates, towers, wheels, members, visitors, boxes, sections, bells, masts, copies
= {e} has {v} {n}
= There are {v} {n} in {e}
= {e} [holds|counts|comes with|is fitted with] {v} {n}
= With its {v} {n}, {e} is [well known|the largest of its kind]
? How many {n} does {e} have?
? How many {n} are there in {e}?

recipe,machine,project,experiment; count; eggs, spoons of sugar, cups of flour, bolts, litres of water, screws, filters, \
volunteers, samples, workers, days, plates, grams of salt, minutes
= {e} needs {v} {n}
= For {e} you need {v} {n}
? How many {n} does {e} need?
? How many {n} are needed for {e}?

machine,building,room,tool,server,device; frequency; inspected, cleaned, painted, checked, tested, emptied, oiled, replaced
= {e} is {n} {v}
= {e} has to be {n} {v}
? How often is {e} {n}?
? How often [must|does] {e} [be|have to be] {n}?
"""
