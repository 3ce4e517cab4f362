package law

// A Title is how a person or firm holds a vehicle.
type Title string

// Who is liable with the driver: art. 196. What the registers tell of the vehicle on the
// day of the violation.
const (
	Owner        Title = "owner"
	JointOwner   Title = "joint owner"
	Usufructuary Title = "usufructuary"
	Buyer        Title = "buyer"    // with retention of title
	Lessee       Title = "lessee"   // of a leasing contract
	Hirer        Title = "hirer"    // without driver: art. 84
	Holder       Title = "holder"   // for more than 30 days: art. 94(4-bis)
	Resident     Title = "resident" // who has the use of a foreign vehicle: art. 93-bis
	TrailerOwner Title = "trailer owner"
)

// A Party is one whom a register names.
type Party struct {
	Title    Title
	Deceased bool
	Minor    bool // the guardian answers: art. 2 L. 689/1981
}

// Why nobody is charged, or a person has to look.
type Why string

// Exempt reasons close a case; Ask reasons need a person.
const (
	Theft      Why = "theft"      // proof that it was driven against the owner's will
	Deceased   Why = "deceased"   // L. 689/1981, art. 7: the duty does not pass to heirs
	Diplomatic Why = "diplomatic" // immunity: through the ministry
	Cloned     Why = "cloned"     // the plate stands on another vehicle
	Unknown    Why = "unknown"    // the register names nobody
)

// Circumstances are what else is known of the vehicle.
type Circumstances struct {
	Theft, Diplomatic, Cloned bool
}

// A Liability says who is charged.
type Liability struct {
	Parties  []Party // each gets a notice, all for one sum
	Guardian bool    // of the minor among them
	Nobody   Why     // the case is closed with this reason
	Ask      Why     // a person decides
}

// inPlace are the titles whose holder answers in place of the owner, first of all the one
// that is nearest to the use of the vehicle.
var inPlace = []Title{Hirer, Holder, Resident, Lessee, Buyer, Usufructuary}

// Liable returns who answers with the driver for a vehicle on the day of the violation.
func Liable(parties []Party, c Circumstances) Liability {
	switch {
	case c.Diplomatic:
		return Liability{Ask: Diplomatic}
	case c.Cloned:
		return Liability{Ask: Cloned}
	case c.Theft:
		return Liability{Nobody: Theft}
	}
	charged := chosen(parties)
	if len(charged) == 0 {
		return Liability{Ask: Unknown}
	}
	var l Liability
	for _, p := range charged {
		if !p.Deceased {
			l.Parties = append(l.Parties, p)
			l.Guardian = l.Guardian || p.Minor
		}
	}
	if len(l.Parties) == 0 {
		l.Nobody = Deceased
	}
	return l
}

func chosen(parties []Party) (charged []Party) {
	for _, title := range inPlace {
		for _, p := range parties {
			if p.Title == title {
				charged = append(charged, p)
			}
		}
		if len(charged) > 0 {
			return charged
		}
	}
	for _, p := range parties {
		switch p.Title {
		case Owner, JointOwner, TrailerOwner:
			charged = append(charged, p)
		}
	}
	return charged
}
