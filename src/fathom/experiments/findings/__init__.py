"""What the papers claim, each with its statistic over the trainings of an experiment.

The rules, which are the same for all claims:

- A claim is read of what the trainings hold, never of the experiment's name: of the values on their
  axes, the layer that the papers look at, the probes. One that they cannot speak to is not listed.
- Saturation and intrinsic dimension are those of the last epoch on test data, but where a claim is
  about the training. Where the papers look at one layer it is that layer's, else the average.
- Patterns and tails are of the layers without the output layer, and without the convolutions of
  shortcuts (names with "downsample"), which stand beside the others and not between them.
- It takes at least 3 repetitions, on the axis of a correlation at least 3 values, and for a slope
  3 networks; else, and where the statistic is not defined, the verdict is "not enough data", and
  the note says why.
- A claim holds where the whole 95% interval lies on the side that it claims; else it does not hold,
  and the note says whether the interval lies on the other side or includes the claim's bound.
- Intrinsic dimension and saturation read low from few rows. Comparisons of problems that have
  different numbers of test pictures say so, and a last line names layers with too few.
- Trainings without a number (a loss that is not finite, a curve that never moves) are left out,
  and counted in the note.
- No interval is corrected for the number of claims: of 40 about nothing, one holds by chance.
"""
