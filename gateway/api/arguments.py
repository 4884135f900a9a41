"""Arguments that several fields of the schema have, each described once."""

from __future__ import annotations

from typing import Annotated

from strawberry import ID, argument

from gateway.api.inputs import PageInput
from gateway.api.scalars import CursorScalar, DateTimeScalar

PlacementArgument = Annotated[ID, argument(description="The place on the page, as the ruleset names it; 1 to 128 characters.")]
PlacementsArgument = Annotated[list[ID], argument(description="Places on the page, as the ruleset names them; at most 20.")]
PageArgument = Annotated[
    PageInput | None,
    argument(description="The page that is shown: conditions look at it, its locale chooses the texts. It is not stored."),
]
VisitorArgument = Annotated[
    ID | None, argument(description="With a secret key: the visitor. Leave it out with a visitor token, which names its own.")
]
NamedVisitorArgument = Annotated[
    ID, argument(description="The visitor: the shop's own id of a user, or an anonymous id; 1 to 128 characters.")
]
AfterArgument = Annotated[
    CursorScalar | None, argument(description="The answer is to have seen the log up to here: a cursor of an earlier answer.")
]
MaxWaitMsArgument = Annotated[
    int,
    argument(
        description="How long the context may take to catch up, in milliseconds: from 0 to the gateway's GATEWAY_MAX_WAIT_MS "
        "(10,000). Past it the answer says `fresh: false`."
    ),
]
PreviewTokenArgument = Annotated[
    str | None, argument(description="Of `createPreview`: shows what the token was made for. Such a decision is not counted.")
]
MessageIdArgument = Annotated[
    ID, argument(description="Made by the client, 1 to 128 characters; a retry keeps it, and the message counts once.")
]
TimestampArgument = Annotated[
    DateTimeScalar | None, argument(description="When the visitor did this, by the client's clock, at most 7 days ago. Without it: now.")
]
SentAtArgument = Annotated[
    DateTimeScalar | None,
    argument(description="The client's clock when it sends this: a clock more than 5 minutes off is corrected by it."),
]
RulesetVersionArgument = Annotated[int | None, argument(description="The number of a published version; without it the one in force.")]
