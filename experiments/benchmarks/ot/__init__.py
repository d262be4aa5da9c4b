"""Entropic transport against every peer: seconds to a given error of the marginals of the plan itself."""
