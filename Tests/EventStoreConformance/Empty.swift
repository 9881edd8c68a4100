public import MillraceLog
