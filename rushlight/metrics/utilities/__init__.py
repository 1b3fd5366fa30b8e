"""Helpers that metrics of one's own use as well."""

from .data import (
    dim_zero_cat as dim_zero_cat,
    dim_zero_max as dim_zero_max,
    dim_zero_mean as dim_zero_mean,
    dim_zero_min as dim_zero_min,
    dim_zero_sum as dim_zero_sum,
)
