"""`torch.save` and `torch.load`: PyTorch's own files are read, ours have PyTorch's bytes, and bad files do no harm.

The files below were written by PyTorch 2.13.
"""

import base64
import collections
import copy
import importlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn


def _unpack(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


ZIP_FILE = _unpack(
    "c-o~`+jA3D7~eE)+Ah$Rf^t#tf|pdGH1~u{Qv#-75Xx30pcprsZL>Db=F6V86s;oI3n(fo3Mhyo3^V)z>Wj?iIOCgx<1jurzWBiK;OK+HFyjNB"
    "%QoG!r39Ou+1>2!_xpXn^PTT}-$_@(SuF^4b;7ixNoW@2qLS4H)zujp$*qOHTs+nw?BR|BRf?kLa;kzfJ#UEHiy5`3W;SUG5<zH@z~N3hFqsTh"
    "3equKYia;#IYUep)%1Xt%cPK+H}qm^&?|z|?M~KWV*^{ty(&~Qh#1f5GU{e8MW~^KZQx2e@m(nlKyAW>pl(M(NK_@9V^E)PCLCiR9?lX0a}dmx"
    "U|tfBQW(_KA!x{AKiTSRP1cpA$i^KB2S!$nK@<Lg3Fb3oGlB&YEKF8mWV#3LVK`G$jEeFEOS0~zvOKT|lU5;EOy!Kil7wRvmNLTo5Zo`pGAbo2"
    "=Xzi{N4XilD$zYa>AdhDrgI>8h|poChsk9Hqk9CwqY^xpbYa7cK9J6-@Hj`fiM}jRvYGHf3!{9(q<oTGRx-*}2wEjrO$`-j<JdOp{e_&mkDm+="
    "HT8p+ar#V7Ke+@LXAnV1f-p5qLxhi_uIEZzYp6*8*0Kn$Gb6a3aJ4h8D1r_NHY96kmZ${-VjSOAJ>Og6+erC>u!(7V3iGwJFrGMqP6;;C4AOjF"
    "*ut@F$xjXNX-X1;1S8pM4)7Ur*~ZAWBj}P~2Nk9E7tk<BlPN~QVd%zS0l~8bERYP_$x`$=Mz9M(Qi9#oxBz=*SSSU#DEF&KEsF3w#~*<gSj6_4"
    "5qpt{OEK=35XcgwC+LGR4jBnliUQ~<=O{I#p=`=PGQxrAb(fry1>tFfEDMQdhU8^(>0@4V2>K<+vj=?y3N+{QI#L1X&px$)plBd4BtSHB88lo_"
    "VZfY%9=5tf7^LQDoF_13ej^Ve>|=Sa4r+=D!{#UUD8hb<QU)?Iyg~x~sstnSm7(od;Wg8`8$XEfI$8Z=a9|YPkl-LKKnhEBIHaUfBqm79r&6N%"
    "R)jY@qkpp++1X(h%P|<0V2tKdQ67SEC8g*YRWU?0Pkx9nLBD-}S%AY-cuvNo9yl@vZ%Obr{b;BNj&dIH8xh{w3-2Zz@+iC~!7*x>)_URnBlVMo"
    "x`PttRlFcF@WEdA(A^om$v$nH7>DB{@DZKyKKPhle8Xs}IGkX!>VcDNR!`AcC9(U2-9BZLc^bhP2|hE_fe|>HBpOmUS7g#4;B#v6MUr@ib0hF2"
    "4d$R)G;nW#^9hGx80proL~Y%lyMKszv1)R5&Den!3H7B8)Y_vL`(>0e+2XMp)`&cW?yJ9kJ48lE&Y9_!3ZW@Fv&W?5oYtG~SMw+y^VwS4T^&I`"
    "5fB}M>m+_vcN8#Rh?WGTaqxB0EaS1Yv++B5<TQkGD$y{y{*NUj5nOlF&>*yPU43<1Jhr9+0fKO#T@cPj@qPiXg)V$f;PYY!QFQcL<oaUlb8#6("
    "D|tnpc+7p*icYm(xJ-Qc&;9foS>V-We0A`?yz$t&O2WVARD^i%y;(e7e*PPT81LN|kF{6i9s55?j&Gtw#gE+=ZV<P1WmK%=Rruqvuu#GLM@bDL"
    "{s+%TTW8@vP>FwsKs<lD;=AN5;vcL${<S7IQBk;hO`pa1LzRsG-&?nC5#JZHrwe@k3wM+M;Y#!WPUBq2`-;S4O~P&Rx83LS(fmzr_{Uj3evQIf"
    "TfM*~EHv9e^z>YyzMVI+>&w@VMoR@}zC9Jz?|S0AW!LYQ%J;8EOZt}DV5Rx%6N!K;XL@&*Uq8zQ?^FY&!#C8ThCAqfnf&`pX_<Je^?&N|_}YSz"
    "K*$^R`of`*Cln5Q@zv*xczr%^IN<RIJi)Nv8z3q#?K(5=#yZ?orGtnq>9p=Bnx-kY|Btn!ts96%9P*$`m}w7UC$Vk<mU1LltR&NR9(EpUBcIRl"
    "NVUTB4TK$T?Ya#d{A#UW>-~1DwTtrDY@H43v16@0kjMUF$9nBpYv<yzQoRl9vtzAYhsXYE$NKG9Yv16pNzsN4*s<1X&treKV}o|AwOZT!&aq)b"
    "li1tWb1u$yY}oGCT48x?$6OmWV#iu5WFv<?VaIx=C6=|q@!*B??BHpcWvxy;_?QJe!>Y6vjpZD;xj`sX&bksV*UHJ_=Ug>~wB6NecK^Czax>tf"
    "`+{W)*fXo^H7<r}ruNMCKmJUdXa"
)

STREAM_FILE = _unpack(
    "c-n<kS##S|7?o@%Y1M_WQ`WLOEWz;>n<WlyX<F2#jmjdHAY}O_R;yS()^*YpOv4g4E&EPOfwE=#7kKIezlJv+VPGcQMRvwU44U!v{qAzkr}HgZ"
    "iJjBDzc23pbNBJfM|X{`#18)!XJZRW(i~P4rQYzV@A#gzNE(6b*PyZk<_@;wxs-auBDIQZ*AQDXHMU5X>%<D&QzSsVg+$UEV2eT3Z%_>AF*D9A"
    "w?;9jC(H!L@N4rJ(i6=l<8&B}M;yvn0_{knLK>v9&vmE<WyFA*G*x!PM$Dmp!>Nv1P3n4qW;IB;>3S85l3L(5ti`m3crs}YabkATo+n7iE82d~"
    "x9KstsA0g|$<7qB>2x}u9n0i$sX_sR!bhjxWNr;kQ*4>h6+NcM+t{kdb+rxcY?ZsSjbgij9pWt(U9yCoRmNIPR3lNZs!Fus8C_*)u{N$|69#&X"
    "M7x&aIs@06F?O{)hZ`hT==C1q_E^5__>KJ(=}a0oF^U+Y*d-iZ#m&09id!W7trWKzxLr6~wY@pq(L->6Ep@?n_k-sPDcs4xRR(?+2WPl<^Wh!|"
    "elNv+2JSZp*|mz_EPDjW9{7D?u}d(rNid!sFBY@eYyl611P_J;5Aoq)Nia(Bh=G&{zk{(J?7jX%-6JP^1Do!7g<L*eU<{d%AsaH}_>h+j;}iu0"
    "MZr+UqrK|;zSl*5tRFd>O5yQP`6oi<CpdCRB2Q90X<&~m14`-v_V%D3Vg=Ae-`A&1CYQ?MsnGBJ41HuoqE1m9FmO<o6N~-RJ(ve;n^NfgV(0QH"
    "910;1hf+-Q;fRDjN-<-=5Dt@tI$g%Ge<wDFDrCmT^LU0qDGcga4yEvneomIj^AgUac)`GnLfJZA`j67B+YNhxP}0!wa%36ha>YE0;cTe%E1}XB"
    "cl=e!WK)z4IBUYFoB=T~Cuo8B|D&~*Tw1jPYEvdzH5u&!&!QCEP`l%yb|?7YNf#C<Y6g61)LVckxSCH18e)2a)G301f*NQFi7UKeVlj-|oGf$="
    "OX7H$r5;X(d)&~lEX#~6x(>mqa7&sRUK6*RX2r(qJO(WTZ-^z{ka0RZeT*3zR(K<7<IPpPW#DbmEge})c*n6UE)aEVmZgQO8dj%DzboRInw0-a"
    "8*Kw;L>e~iC9FA?<5!3iXr#s`8qSKnU#}=QCmi=|20Dg!+j!5w`(iU76d&|3vK0*<&f+6owO8@6fltK2vOAAY&utB<l}Q0uBdn?__-q!RC#On("
    "$gSzMGx(x~FGcuI;H%zxUZ$J9=zMQZkEb%3JT8PG{#t~X3wcrgeIq0LEyZ^RE(N67!uKY3$YNP!S8QtI2XW#@le>YRTKHKg+xd2`>uL}LW%jL`"
    "<=@wc4}}`l+G9~IIUbdriKwa>h-zAcQ9W`fN{%g2b-y*LRcTS3eOpuq+D=9XJAqVICKTmTNl}JbS{-G-HTJta84GtWOsro~JM&^^HaE9k>Yg}%"
    "ej<~}bZu2pH?d1RRXTPzc{&S2eKvz)&o8Bp{ny6E#y{miYw7"
)

RARE_FILE = _unpack(
    "c-pO&O-~a+7{{kuC}q|1;tPU`@3ImteeZ%`v6?k;4`2;R<7Kn716|$j^0ZR~4GD>XNc;}o^x)BpH~kD4<H>mOq9;9j!I^F;yIV^GILUUC?)?AH"
    "@0od?*`1cXZ3y}Os9|)YUZj?C1#J<J<W-^u7ar?UI)ENJ#wxc0NXSwTlrxP-;K>n_ih@doXnL7fN_e)S>3M}<qimLx#Rw0aAY?n}{4$-X&SUUe"
    "68^SXT+s27q?;;vU_IlZE$g9EL(rb}vJeXu@W~zm9rtA<d)C0uemXaDIaAkhj%cP)=BG+|T*CP~T8{9*U(LXw6*#;@c;rQyKp+EMRmVy=0o^T_"
    "qdfEoLZQYPta0-*23cOf`8sNE6*UY;3qHAxz%ho%t-*1Icw(c#Ncw82Ry2cz6Fi(G(4T>UEJuZNBAhBz;}k5X2%M%)9Dy@6r$Od))^a*mbDCqT"
    "B`P>pjLsQ6oF{N00~f2=7BNxbQj^@+!|enOQ`yc5E(><!DBZ3rGADc2VMzAMo^=p52+;7umEg48;eWUM?ByTI%C70AmDGoB)hj7DXO@a8Q5JEj"
    "Om|C4Pq+$dk0Z=5-v9dgoUItUnqv&0<PJtHVMW!od83F8BBi7IAxXp-K<WwnWP8Z%3eba6b%5Drf=yPaQu@Y0RzTMX(J^CKoA}=EqfvajG6c{~"
    "M^}%8r1aPU01#SDQQJvIu=qL^WFh@62*#ZRVJR){o4|v%wpi@-x8H_X(YLjTJ?V@ck<#M_D!}0}79Dqd_|ba*yKH^%zv@5Av-q2@=4V>RA4HLz"
    "2B@ZA#wCq*z*Ci-oQjs0(!o9Agv8irOccdfax@VS#l&PZ9twrUcsw~u|41g{(PS)|h*jJ4cks=WKskgerH8@RIqfG&cLTZmJ>*u~4}d<0@*anp"
    "ojq<7dlL^hOg8N%4JU`&$KHrN4xfw{H68$NxxI@54*3@^a`moTYwrT5mc0?2UFX)?YuKs%?AAuyT6_I<Ia6*&?wWUt?PW3O5P!0X|6Q=tvd?#I"
    "yS%;E>&i~o{Vr$SmweWp>ewd;`dDMI-W=^dOVe4MZ_WJ+HM${z"
)

MODULE_FILE = _unpack(
    "c-qBSYj_-08J^9y+c0gCHZ8Q2P_^DR*rv(uX0wHo;8M2g)DWiDjwp_k-AT@v-I@Jn&LkFCE!1rizzc{dSnB-(6%iEyp^a9-`vnvf<$)jgJYN3z"
    "_|G5uJf7QTXJ&gN{lPrXW_M@4_x--}p7(s`Y{r!MGD&K0ms+mXQnzHdMPyBz+e!vD`l?gqLcUYFHgp|mD`JO4_1Sh`#VPq^)9WibHa0BVbmcuJ"
    "_@<35qb!5edlSTJ(3aF_GVGEF%btYzyta~j*Q<tWR7`BT9xSWDau%eI`x6uNPND`Yw2SB++p+a3xn+5n5H|vJ&&1GP)X8_Nj4fN&WpYP`^R5HA"
    "4l7kyrLARrMsaG!a7%jCHFe}TQyz2_i%z+07O~~no_w`iGF`K@(<%~lXRiufT2~0jL8}pcwnn>vKC?W1!Y`M@G0;7#b<(F3jvD~3Wx#dX#+FC="
    "jD?X-2_`)_pM_nZ^|Xc=<r!nYrxy)UbP3k8zzte=Ft9ne3)$n1+NP5}4yC+^h4yG`XsCw`Z0aSVf*`t>J>8_8A9>nL^%@rOT0XL}W0X!F_Bs}}"
    "nNMa*nBz4PzMjRsf!jbB3*K0RHzl<gxz!JEZuMQ6c+PO;-TV!b#BjYexFm_<^N4urElDjwpfjd5i7;#tc-_ZV*^_nGq~0kteJI1$Q-l!bd5)`3"
    "r)20$CbboW)FY9`qzT(NL@tn_;XVAO4E>_!0WD76i&Y;|N&-Xr8bwm#O4}jGC~ZpY5Dd<<QD-p>sgRpvU$)P}r7B#ekyR><TZRWa&{jm!qHT!N"
    "4#4ForNl7|GrBsAD6u+R!KvPgA+N%foNDJRT%|(6M`SteLhXpGj<?m}?JB$jb+7;habxdB-J^(G^__@&aTIZ@U5&V>#t=8mHHce7Mce>;5TD_9"
    "AwGk95t+1ivn5WJ<%DTq-z77-PifOuk$aAhn>RHj?vINxy{C10#|>OWw&PahJpD9EJ`I#)xRy-wdu#B%#x!4-L|Y;frQrQsB3(%I0V<KfB^t+2"
    "RH4KrGG}2zg-H|@ISq(2Sc2h$lwpc9lrdCPusMS>3sn_>iR>oXAYI?4txm6)h7DebHv^dS`hs_w^3HJH4`JA^!u3qN2FJAF!VMvcLAa4q)C9$c"
    "DaA)P#Q_XAsc<vvezsrHnTDpPllEJjBK_karxLE+?bwrxru`^m&qAHB$1ofs?7h95br!>%3iCeq&@FYiRfXGxhdw4e^zo*LJ|R5xN#UW}g@^7C"
    "9{QB<(4E3VpB5gvOL*ur)I*<TQqnOj`sHpV&K8te_28ae!+-tH!*egAf3ucRaVlhc@GJ1ST_ca(O|N^{;x{HHNOyq4b4(GYg5HppHX;x1of95R"
    "!I4%E8f2fCHt1d<tLE;#GJKx6?+Z2fV#9r3qVxV`F3eZz@KqJQCWQIA5at_AVeS*c+%JSVDunr_5at0P%(sLv4+>$vErfZ93iBP-fGoROHi{;E"
    "cV3jAhVLQT0Uxfx_Z!7M(z-N;;8E_L$EbT^O8gM~fb=BNj2`E6{RD<%DjetLUYLa+s_>(h<&lFE+$BF|EOqz^{qrPecnZT$Rrnca`1vgSLWN(l"
    "<?$;n)359B8x?*lWcr<u>FK6S&j^`*FJ$_Ikm*?=({n<mKMI-tBxHJC$n<9_(_hd&C5|*D=8yaSc;A?^qW$I_FWvtraSMHoo$?&CUb=Ge9Mnhl"
    "(29ZeX?g;2>_UDdavXZa*8nZ#k$=5#kjhA3r!HipG}J6aY&hgNU`^W8>xF!JDYaxXw1ANr_(vN_(RSJb)<`3Z1&r^<rb7=)h5TjbqCwfhxNOoI"
    ">X*NKAzh-0)7H=_4Tnyp+xiRnOV6Qz&HEpC{BZWf@I(Jyw{UT8`NDJ6TaO>TBtJ|my7&2o7dMcc8_rPCmT*M_g?#d?E82I9`NS2oT_Z0ZJaCNW"
    "9NSaaOdH**Gvv&LbEXRU%#u`)qyr<37tMd?=#4KdA%A-5`I{Hb?>zPF4NJ(Md6n}IzRLP%&vpDXxAoFylO}6FL+%~n+(U(YZpka~nQG7Qk)x^O"
    "|D5_e^Z)W)Pu{nL@#mI0{$uHm1)BH7iCBUjv6r1TZ&#oLF75&6)c?{l&HnU}$-QUpzni2~a|2+*_Dq-jwzjTkClcK%74m(ru$caV?L$MkY=3$%"
    "oz8Ag^$%n+>HcgcJ($a6(}Ss0I+N}1&uwSBL~ZB)I+CQ0B&#w;i(RZUxR<VOsXY3BgeW?=0j>`r+s~6uwfja%f}7aJ5XtR9l9rt_$`jm()`WPv"
    "WvO)ojKYJvMrR0qmn=p0t|&Ix{lnPg$_REKiVb#-F!pd1n~GwCT`!F7Srx&i&mMa?ip`vT%{?6v>|hid>{gMyQEWDf4R)C@c0*?bI~2tRJ4GaK"
    "6q}1;gX_F2gk9GqMLSCr99({zLf|_B;FC9oF(r}M(r6>`t$~IXet$5|-*c-Q+d_i=x{&_1mVf6b)a40|>0<Fb_Wx#`QPc"
)

CUDA_FILE = _unpack(
    "c-p0uJ#W)M7{||c;{+q6DN99!GB5=RQoqD`Y1Kwp$cqQkAW+0&T>A(XZp_)2AefL)20lU<_zY}(1V#i?2Q~)OiG_iYyO_H6l_sJ*Qgm{B|L6HV"
    "cmKzIOIQP-R03zB0<Hija-aB9xaB$6X*_!xm_`{q%*89-#Ua_%uqW6LV#$u+!Nd<d8^duNM)p*d5UAIOMUpWlJDm|kTq2RoAawA(<WC9lLyqi`"
    "kuVg=>P|doTSjXZk5OUY0v10*qQ%Wn@r~<-K>%IshvQhf8+kB--W}h?5-Qyopi3A@19Z93w~D2sN8jJiNizEDpWEmrxSlrJcpOHD4z{N-ib;Oc"
    "s4@Mrq0l-XetdmR;kl)Cs-S&Z=g(Q#PT-Hmhj5HdLt9bmuhD8!fZlU-%##xQQh*K6O92jEU>MS~GmV{#)IEv7$2fqLVYd72D!n;zDMK0T<y^HT"
    "o5uEk0KA>g_cTrGQG(&^p8_peT1v1Ec2a`$n%fse&?H*<^Sjag)#qOW>Zt)1&BrkEi346b)XcW;nMUIuK@`2Mc9d>cSCo$4Y&A7mZOJV~mUTs!"
    "yKSYbs^m?(Ln*KAR;qQvQD0DU6gK6|j!NYWIr|-8)!6~q%qfpEYG%0DBv}(zb4m6&uw-)BJXs@d<nnyU<VgpBm1kX4&dDF}fblM?&H7+Hr#;GO"
    "&*?vVJ++*8Ab=Id>06?B^TcMttyEcL)=ylr{t}Xv=oYU&7Lw=W3sw*lO>wb5+4~y?!C6="
)

EXACT_FILE = _unpack(
    "c-p0wOH<QO6vuCy5^B_zhgv|z2R?#AX;NsZ56WbmY_brl&M<5`p$#-+Ae{6Tl~re$qVB+jONS5O-kmf04RpqxI~VGT8Mkh{H)%@}C?MSFZKlor"
    "|IhE<o^#SEg$W@P4x?S819c(QDwOmUZKSATHNO1RkfjKk^^9t;P%sTcD`4GRDsvC5qGoBu2YLZ>fCh6A;AaBFOod<po5U@iuVCFMb9qaftLR2C"
    "kF}+;Y2{Z$4j7)FX(x-zWTm>GLCBGCvSF(Dk@F=7ZMI<o*cpag3(FN~S6B?;X$2`kg;|Fa3Zn$pfqPw|04Fh=%E4({v;vV52~rA`+DdH6mPM(I"
    "QG)Bxp#-S9(~)&y=+40zTQ&!09a)`6GEJk2bIx8OK#ceWG4$9NHRx3WHRyA^&SSWcgNydUW$15l5X-8iE^1h_IJnfHv?U^3cD%3Dy{}U50mu6q"
    "hU+=F@yh;i^Cj>(7_?PIxK+oUr^lBh=X=|}u?j;T`y>n#dxRlQ?NJRzsC~k*7chu9NLJ!gN_+VI<JzBJL_+6O%e;x9?q=S^=S^!-#rYM@DwF(>"
    "rKm4`W(8{eVf*_UMWM5`aUV+W7}s+ouNwNo(xSG6Whv?RKFmmsQh@9;_#Gr6g8Kq=qHGgj?giFNn(VT4_b722!_YA{G|EuB|D%^BQP_PMB51->"
    "l_LpRx^oNw$F-UzZ<FLjW|hpXNlFyk__^6bZuA^LG~^``WQjjCQ2^0M9|u0q9DM!}BzYr=vNUm=!?*WO_g>9Xij8UZ8x0$7QlLF4?s+MavNV2V"
    "iq^Z0y6UKP{UkX`{^i}mlY`H%ABj5!WTTfgOD7eys?zSA*Nd_g|IeKWiFA5AC8otpI+Gb68x>OGn2-_@iIk8@2|{LUG?PiB6C$PD-ujg12?uXe"
    "1}JQk)7@J-c9Hv^Lw>cpfy6w@@gQo|jr=C=CeY_G*>s!i>O6iQcOiFre7YF4yMg%S?y8G;<Zl_|t9`%LT}NImAM$Ahzt)}oUhNydR%~eZt`GO<"
    "Y4d55{<!Ykje4|Im$t=k=1!@8kNB%gymzusDJ(nGC=F(~spNduHD{~nIqO`Bj{ZwQf9nj+Q>%@2G@QNOS^E!V)CoT"
)

MODULE_OUTPUT = [[-0.51719069480896], [-0.7080628871917725]]


def build():
    """What PyTorch had in memory when it wrote ZIP_FILE and STREAM_FILE."""
    a = torch.arange(6, dtype=torch.float32).reshape(2, 3) + 0.25
    p = nn.Parameter(torch.tensor([0.3, 0.7]))
    q = nn.Parameter(torch.tensor([1.3]), requires_grad=False)
    q.note = "kept"
    found = collections.OrderedDict(
        a=a,
        view=a.t()[1:],
        bf=torch.tensor([0.3, -1.3], dtype=torch.bfloat16),
        half=torch.tensor([0.7], dtype=torch.float16),
        double=torch.tensor([0.1], dtype=torch.float64),
        c=torch.tensor([1 + 2j]),
        b=torch.tensor([True, False]),
        steps=torch.tensor(7),
        i32=torch.tensor([-5], dtype=torch.int32),
        empty=torch.zeros(0, 3),
        p=p,
        q=q,
        dtype=torch.float16,
        bool=torch.bool,
        device=torch.device("cuda:1"),
        size=torch.Size([1, 2]),
        complex=1 + 2j,
        raw=b"\xff\x00",
        set={1},
        big=2**70,
        nested=[(1.5, None, True), {"k": torch.tensor([[9]], dtype=torch.uint8)}],
    )
    found._metadata = collections.OrderedDict({"": {"version": 1}})
    return found


def saved(obj, **options) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file, **options)
    return file.getvalue()


def loaded(data: bytes, **options):
    return torch.load(io.BytesIO(data), **options)


def same(a, b) -> None:
    """Assert that two trees are equal in structure, types, dtypes, layouts and bits."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape, a.stride(), a.storage_offset()) == (b.dtype, b.shape, b.stride(), b.storage_offset())
        assert a.requires_grad == b.requires_grad
        assert a.untyped_storage().nbytes() == b.untyped_storage().nbytes()
        assert a.tolist() == b.tolist()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)) and not isinstance(a, torch.Size):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b


def rewritten(data: bytes, edit) -> bytes:
    """The zip file with each record replaced by ``edit(name, content)``, left out for None."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = edit(name.partition("/")[2], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return out.getvalue()


def without_id(data: bytes) -> bytes:
    """A file with the record that PyTorch fills with hashes, and its checksums, blanked."""
    content = zipfile.ZipFile(io.BytesIO(data)).read("archive/.data/serialization_id")
    blank = data.replace(content, b"0" * len(content))
    return blank.replace(struct.pack("<L", zlib.crc32(content)), b"0000")


# Files that PyTorch wrote


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("data", [ZIP_FILE, STREAM_FILE], ids=["zip", "stream"])
def test_reads_what_pytorch_wrote(data, weights_only):
    """Every dtype, view, parameter, constant and container comes back, from both formats and both unpicklers."""
    found = loaded(data, weights_only=weights_only)
    same(found, build())
    assert found._metadata == {"": {"version": 1}}
    assert found["q"].note == "kept"
    assert found["a"].untyped_storage().data_ptr() == found["view"].untyped_storage().data_ptr()
    found["a"][0, 1] = 9.0
    assert found["view"][0, 0] == 9.0


def test_reads_rare_tensors():
    """Conjugate views are resolved; dtypes without a storage class and meta tensors are kept."""
    found = loaded(RARE_FILE)
    assert found["conj"].tolist() == [1 - 2j]
    assert (found["u16"].dtype, found["u16"].tolist()) == (torch.uint16, [1, 65535])
    assert (found["f8"].dtype, found["f8"].tolist()) == (torch.float8_e4m3fn, [0.3125, 1.25])
    assert (found["meta"].device.type, found["meta"].shape) == ("meta", (2, 3))


def test_reads_a_whole_module():
    """A pickled module of PyTorch's classes becomes one of ours and computes PyTorch's numbers."""
    module = loaded(MODULE_FILE, weights_only=False)
    assert type(module) is nn.Sequential and type(module[0]) is nn.Linear
    with torch.no_grad():
        found = module(torch.tensor([[0.3, 0.7], [1.3, -2.1]]))
    np.testing.assert_allclose(found.numpy(), MODULE_OUTPUT, rtol=1e-6)
    module.train()(torch.randn(4, 2)).sum().backward()
    assert module[0].weight.grad is not None


def test_reads_a_tar_file():
    """The format of PyTorch 0.1: storages, a view of one, tensors over them, and the pickle, in a tar file."""

    def dumps(*values):
        return b"".join(pickle.dumps(v, protocol=2) for v in values)

    def entry(key, location, name):
        return (
            b"\x80\x02(K" + bytes([key]) + b"X" + struct.pack("<I", len(location)) + location.encode()
            + b"ctorch\n" + name + b"\nt."
        )  # fmt: skip

    values = np.array([0.3, 0.7, 1.3, -0.1], np.float32)
    storages = dumps(1) + entry(1, "cpu", b"FloatStorage") + struct.pack("<q", 4) + values.tobytes()
    storages += dumps([(2, 1, 1, 3)])
    tensor = b"\x80\x02(K%cK%cctorch\nFloatTensor\nt."
    tensors = dumps(2)
    tensors += tensor % (3, 1) + struct.pack("<2i5q", 2, 0, 2, 2, 1, 2, 0)
    tensors += tensor % (4, 2) + struct.pack("<2i3q", 1, 0, 2, 1, 1)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return obj[1:] if isinstance(obj, str) and obj.startswith("#") else None

    pickled = io.BytesIO()
    Pickler(pickled, protocol=2).dump({"m": "#3", "tail": "#4"})
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for name, content in (("storages", storages), ("tensors", tensors), ("pickle", pickled.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

    found = loaded(out.getvalue(), weights_only=False)
    np.testing.assert_array_equal(found["m"].numpy(), values.reshape(2, 2).T)
    np.testing.assert_array_equal(found["tail"].numpy(), values[2:])
    found["m"][0, 1] = 5.0
    assert found["tail"][0] == 5.0
    with pytest.raises(
        RuntimeError, match="Cannot use ``weights_only=True`` with files saved in the legacy .tar format"
    ):
        loaded(out.getvalue())


# Files that we write


def test_writes_the_bytes_that_pytorch_writes():
    """A file of ours equals PyTorch's byte for byte, but for the record with hashes."""
    a = torch.arange(6.0).reshape(2, 3)
    tree = collections.OrderedDict(
        a=a,
        v=a.T,
        b=torch.tensor([True, False]),
        p=nn.Parameter(torch.ones(2)),
        d=torch.float32,
        z=torch.zeros(0),
    )
    assert without_id(saved(tree)) == without_id(EXACT_FILE)


def test_records_are_stored_and_aligned():
    """Each record is uncompressed, begins at a multiple of 64 bytes, and has the checksum that zip tools verify."""
    data = saved({"x": torch.ones(5), "y": torch.zeros(1000, dtype=torch.int16)})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert [info.filename for info in archive.infolist()] == [
            "archive/" + name
            for name in (
                "data.pkl", ".format_version", ".storage_alignment", "byteorder", "data/0", "data/1", "version",
                ".data/serialization_id",
            )
        ]  # fmt: skip
        for info in archive.infolist():
            name_length, extra_length = struct.unpack_from("<2H", data, info.header_offset + 26)
            assert (info.header_offset + 30 + name_length + extra_length) % 64 == 0
            assert info.compress_type == zipfile.ZIP_STORED
        assert archive.read("archive/byteorder") == b"little"


@pytest.mark.parametrize(
    "options",
    [{}, {"_use_new_zipfile_serialization": False}, {"_disable_byteorder_record": True}],
    ids=["zip", "stream", "no byteorder"],
)
def test_round_trip(options):
    """What is saved comes back the same, and pickles name nothing of ours but PyTorch's names."""
    data = saved(build(), **options)
    assert b"rushlight" not in data
    for weights_only in (True, False):
        found = loaded(data, weights_only=weights_only)
        same(found, build())
        assert found["q"].note == "kept"
        assert found["a"].untyped_storage().data_ptr() == found["view"].untyped_storage().data_ptr()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(protocol):
    """Any protocol can be written; names are PyTorch's in each."""
    data = saved(build(), pickle_protocol=protocol)
    assert b"rushlight" not in data
    same(loaded(data, weights_only=False), build())


def test_a_view_saves_the_whole_storage_once():
    """Saving a small view keeps the storage that it shows; tensors that share one share it in the file."""
    big = torch.arange(100.0)
    found = loaded(saved([big[:2], big[10:12]]))
    assert found[0].untyped_storage().nbytes() == 400
    assert found[1].storage_offset() == 10
    assert len(zipfile.ZipFile(io.BytesIO(saved([big[:2], big[10:12], big]))).namelist()) == 7


def test_module_and_optimizer_round_trip():
    """State dicts of a model and its optimizer, and the whole model, survive, with PyTorch's names in the file."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    x = torch.randn(8, 3)
    model(x).pow(2).mean().backward()
    optimizer.step()
    checkpoint = loaded(saved({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}))
    assert checkpoint["model"]["1.num_batches_tracked"].shape == ()
    assert checkpoint["model"]._metadata[""] == {"version": 1}

    other = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    other.load_state_dict(checkpoint["model"])
    torch.optim.Adam(other.parameters(), lr=0.1).load_state_dict(checkpoint["optimizer"])
    whole_file = saved(model)
    assert b"ctorch.nn.modules.container\nSequential\n" in whole_file and b"rushlight" not in whole_file
    whole = loaded(whole_file, weights_only=False)
    assert torch.equal(other.eval()(x), model.eval()(x))
    assert torch.equal(whole.eval()(x), model(x))


#: The classes of PyTorch 2.13 by the module that pickles name.
CLASSES = {
    "torch.distributions.transforms":
    "AbsTransform AffineTransform CatTransform ComposeTransform CorrCholeskyTransform CumulativeDistributionTransform"
    " ExpTransform IndependentTransform LowerCholeskyTransform PositiveDefiniteTransform PowerTransform"
    " ReshapeTransform SigmoidTransform SoftmaxTransform SoftplusTransform StackTransform StickBreakingTransform"
    " TanhTransform Transform",
    "torch.nn.modules.activation":
    "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish"
    " MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus"
    " Softshrink Softsign Tanh Tanhshrink Threshold",
    "torch.nn.modules.adaptive":
    "AdaptiveLogSoftmaxWithLoss",
    "torch.nn.modules.batchnorm":
    "BatchNorm1d BatchNorm2d BatchNorm3d LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d",
    "torch.nn.modules.channelshuffle":
    "ChannelShuffle",
    "torch.nn.modules.container":
    "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "torch.nn.modules.conv":
    "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d LazyConv1d LazyConv2d"
    " LazyConv3d LazyConvTranspose1d LazyConvTranspose2d LazyConvTranspose3d",
    "torch.nn.modules.distance":
    "CosineSimilarity PairwiseDistance",
    "torch.nn.modules.dropout":
    "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "torch.nn.modules.flatten":
    "Flatten Unflatten",
    "torch.nn.modules.fold":
    "Fold Unfold",
    "torch.nn.modules.instancenorm":
    "InstanceNorm1d InstanceNorm2d InstanceNorm3d LazyInstanceNorm1d LazyInstanceNorm2d"
    " LazyInstanceNorm3d",
    "torch.nn.modules.linear":
    "Bilinear Identity LazyLinear Linear",
    "torch.nn.modules.linear_cross_entropy_options":
    "LinearCrossEntropyOptions",
    "torch.nn.modules.loss":
    "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss"
    " HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss MarginRankingLoss"
    " MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss"
    " SoftMarginLoss TripletMarginLoss TripletMarginWithDistanceLoss",
    "torch.nn.modules.module":
    "Module",
    "torch.nn.modules.normalization":
    "GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "torch.nn.modules.padding":
    "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d"
    " ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d"
    " ZeroPad2d ZeroPad3d",
    "torch.nn.modules.pixelshuffle":
    "PixelShuffle PixelUnshuffle",
    "torch.nn.modules.pooling":
    "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d"
    " AdaptiveMaxPool3d AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d"
    " LPPool2d LPPool3d MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d",
    "torch.nn.modules.rnn":
    "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "torch.nn.modules.sparse":
    "Embedding EmbeddingBag",
    "torch.nn.modules.transformer":
    "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer",
    "torch.nn.modules.upsampling":
    "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    "torch.nn.parameter":
    "Parameter UninitializedBuffer UninitializedParameter",
    "torch.optim":
    "Adafactor Muon",
    "torch.optim.adadelta":
    "Adadelta",
    "torch.optim.adagrad":
    "Adagrad",
    "torch.optim.adam":
    "Adam",
    "torch.optim.adamax":
    "Adamax",
    "torch.optim.adamw":
    "AdamW",
    "torch.optim.asgd":
    "ASGD",
    "torch.optim.lbfgs":
    "LBFGS",
    "torch.optim.lr_scheduler":
    "ChainedScheduler ConstantLR CosineAnnealingLR CosineAnnealingWarmRestarts CyclicLR ExponentialLR"
    " LRScheduler LambdaLR LinearLR MultiStepLR MultiplicativeLR OneCycleLR PolynomialLR ReduceLROnPlateau"
    " SequentialLR StepLR",
    "torch.optim.nadam":
    "NAdam",
    "torch.optim.optimizer":
    "Optimizer",
    "torch.optim.radam":
    "RAdam",
    "torch.optim.rmsprop":
    "RMSprop",
    "torch.optim.rprop":
    "Rprop",
    "torch.optim.sgd":
    "SGD",
}  # fmt: skip


@pytest.mark.parametrize("module", CLASSES)
def test_classes_have_their_names_of_pytorch(module):
    """Every transform, layer, optimizer and scheduler is saved under the name that PyTorch gives it, and found by it."""
    from rushlight.serialization.names import find_torch_name, torch_name

    if module.startswith("torch.nn"):
        home = nn
    elif module.startswith("torch.optim"):
        home = torch.optim.lr_scheduler if module.endswith("lr_scheduler") else torch.optim
    else:
        home = importlib.import_module(module.replace("torch", "rushlight", 1))
    for name in CLASSES[module].split():
        found = getattr(home, name)
        assert torch_name(found) == (module, name)
        assert find_torch_name(module, name) is found


def test_functions_have_public_names():
    """A function that a module keeps is named by where it is public, and PyTorch's names of compiled ones are understood."""
    from rushlight.serialization.names import find_torch_name

    functional = nn.functional
    for function, name in ((functional.relu, b"ctorch.nn.functional\nrelu\n"), (torch.tanh, b"tanh\n")):
        data = saved(function)
        assert name in data and b"rushlight" not in data
        assert loaded(data, weights_only=False) is function
    assert find_torch_name("torch._C._nn", "gelu") is functional.gelu
    # PyTorch pickles torch.tanh as an attribute of this class.
    assert find_torch_name("torch._C", "_VariableFunctionsClass").tanh is torch.tanh


def test_recurrent_networks_hold_what_pytorch_reads():
    """The state of a recurrent layer has the attributes that PyTorch expects, and ours are computed anew."""
    layer = nn.LSTM(2, 3)
    data = saved(layer)
    assert b"_flat_weights" in data and b"_all_weights" in data
    found = loaded(data, weights_only=False)
    assert "_flat_weights" not in vars(found)
    x = torch.randn(4, 1, 2)
    assert torch.equal(found(x)[0], layer(x)[0])


def test_storages_round_trip():
    """A storage on its own comes back as a storage."""
    found = loaded(saved(torch.tensor([0.3, 0.7]).untyped_storage()))
    assert found.nbytes() == 8


def test_one_storage_cannot_be_two_types():
    """PyTorch's formats hold each storage as one type."""
    x = torch.ones(4)
    for new_format in (True, False):
        with pytest.raises(
            RuntimeError, match="Cannot save multiple tensors or storages that view the same data as different types"
        ):
            saved([x, x.view(torch.int32)], _use_new_zipfile_serialization=new_format)


# Files and paths


def test_paths_and_archive_names(tmp_path):
    """Strings and path objects work; records are in a folder named after the file."""
    for name, folder in (
        ("a.b.pt", "a.b"),
        ("noext", "noext"),
        (".hidden.pt", ".hidden"),
        ("\u00fcn\u00ef.pt", "archive"),
    ):
        torch.save(torch.ones(1), tmp_path / name)
        torch.save(torch.ones(1), str(tmp_path / name))
        assert zipfile.ZipFile(tmp_path / name).namelist()[0] == folder + "/data.pkl"
        assert torch.load(tmp_path / name).tolist() == [1.0]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["a.b.pt", "noext", ".hidden.pt", "\u00fcn\u00ef.pt"])


def test_bad_destinations(tmp_path):
    """PyTorch's errors for what cannot be written to or read from."""
    with pytest.raises(RuntimeError, match="Parent directory .*x/y does not exist."):
        torch.save(1, tmp_path / "x" / "y" / "a.pt")
    with pytest.raises(
        AttributeError, match="expected 'f' to be string, path, or a file-like object with a 'write' attribute"
    ):
        torch.save(1, 3)
    with pytest.raises(RuntimeError, match="invalid file name: .*/.pt"):
        torch.save(1, str(tmp_path / ".pt"))
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "missing.pt")
    with pytest.raises(
        AttributeError, match="'int' object has no attribute .*. You can only torch.load from a file that is seekable."
    ):
        torch.load(3)


def test_a_failed_save_keeps_the_old_file(tmp_path):
    """An error while pickling, or while writing the bytes, leaves the old file as it was and nothing else behind."""
    path = tmp_path / "model.pt"
    torch.save({"x": torch.ones(2)}, path)
    before = path.read_bytes()
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        with pytest.raises((AttributeError, pickle.PicklingError)):
            torch.save({"x": torch.zeros(2), "f": lambda: None}, path, **options)
    with pytest.raises(RuntimeError, match="different types"):
        x = torch.zeros(4)
        torch.save([x, x.view(torch.int32)], path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_saving_keeps_permissions_and_links(tmp_path):
    """A file that is replaced keeps its mode; a symbolic link still points to the file, which is new."""
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    torch.save(1, real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    torch.save(2, link)
    assert link.is_symlink() and torch.load(real) == 2
    assert real.stat().st_mode & 0o777 == 0o640


def test_files_inside_files():
    """Reading begins where the file object stands, and several streams can follow each other in one file."""
    file = io.BytesIO(b"abc" + saved([1]))
    file.seek(3)
    assert torch.load(file) == [1]
    stream = saved({"w": torch.ones(2)}, _use_new_zipfile_serialization=False)
    file = io.BytesIO(stream + stream)
    same([torch.load(file), torch.load(file)], [{"w": torch.ones(2)}] * 2)


def test_a_writer_without_seek():
    """Saving needs no more of a file object than `write`."""

    class Sink:
        def __init__(self):
            self.parts = []

        def write(self, data):
            self.parts.append(bytes(data))
            return len(data)

    sink = Sink()
    torch.save(torch.tensor([0.3]), sink)
    assert loaded(b"".join(sink.parts)).tolist() == pytest.approx([0.3])


def test_deflated_by_a_zip_tool():
    """A file that was unpacked and packed again with compression can still be read."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(ZIP_FILE)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    same(loaded(out.getvalue()), build())


def test_mmap(tmp_path):
    """With mmap the file's bytes are the tensor's; writes stay private unless the shared flag is set."""
    path = tmp_path / "model.pt"
    torch.save({"x": torch.tensor([0.3, 0.7]), "y": torch.arange(3)}, path)
    before = path.read_bytes()
    found = torch.load(path, mmap=True)
    same(found, {"x": torch.tensor([0.3, 0.7]), "y": torch.arange(3)})
    found["x"][0] = 5.0
    assert found["x"].tolist()[0] == 5.0 and path.read_bytes() == before
    with torch.serialization.set_default_mmap_options(1):
        torch.load(path, mmap=True)["x"][0] = 5.0
    assert torch.load(path)["x"].tolist()[0] == 5.0
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
        loaded(ZIP_FILE, mmap=True)
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with `torch.save"):
        loaded(STREAM_FILE, mmap=True)


def test_skip_data():
    """Without data, files keep their shape and tensors theirs, all zero."""
    with torch.serialization.skip_data():
        data = saved(torch.ones(100))
        assert loaded(ZIP_FILE)["a"].tolist() == [[0.0] * 3] * 2
        with pytest.raises(RuntimeError, match="Cannot use skip_data=True"):
            saved(1, _use_new_zipfile_serialization=False)
    assert len(data) == len(saved(torch.ones(100)))
    assert loaded(data).tolist() == [0.0] * 100


def test_other_byte_order():
    """A file from a big-endian machine is swapped, by element, complex numbers by their halves."""
    values = {"f": np.array([0.3, 1.3], ">f4"), "c": np.array([1 + 2j], ">c8"), "b": np.array([1, 2], ">u1")}
    data = saved({"f": torch.tensor([0.0, 0.0]), "c": torch.tensor([0j]), "b": torch.tensor([0, 0], dtype=torch.uint8)})
    contents = {f"data/{n}": v.tobytes() for n, v in enumerate(values.values())} | {"byteorder": b"big"}
    found = loaded(rewritten(data, lambda name, content: contents.get(name, content)))
    for name, value in values.items():
        np.testing.assert_array_equal(found[name].numpy(), value.astype(value.dtype.newbyteorder("=")))
    with pytest.raises(ValueError, match="Unknown endianness type: weird"):
        loaded(rewritten(data, lambda name, content: b"weird" if name == "byteorder" else content))
    bare = rewritten(data, lambda name, content: None if name == "byteorder" else contents.get(name, content))
    torch.serialization.set_default_load_endianness(torch.serialization.LoadEndianness.BIG)
    try:
        np.testing.assert_array_equal(loaded(bare)["f"].numpy(), np.array([0.3, 1.3], np.float32))
    finally:
        torch.serialization.set_default_load_endianness(None)


# map_location


@pytest.mark.parametrize("location", ["cpu", torch.device("cpu"), {"cuda:0": "cpu"}, lambda storage, tag: storage])
def test_map_location(location):
    """Tensors that were saved on a GPU load onto the CPU, however that is said."""
    assert loaded(CUDA_FILE, map_location=location).tolist() == pytest.approx([0.3, 0.7])


def test_map_location_function_sees_storage_and_tag():
    """The function is asked once per storage; None means the default place."""
    seen = []

    def place(storage, tag):
        seen.append((storage.nbytes(), tag))

    loaded(saved([torch.ones(2), torch.ones(3)]), map_location=place)
    assert seen == [(8, "cpu"), (12, "cpu")]


def test_map_location_meta():
    """Nothing is read for the meta device."""
    found = loaded(
        rewritten(ZIP_FILE, lambda name, content: None if name == "data/0" else content), map_location="meta"
    )
    assert (found["a"].device.type, found["a"].shape, found["view"].stride()) == ("meta", (2, 3), (1, 3))


def test_locations_that_do_not_exist():
    """PyTorch's advice for GPU storages on a machine without one."""
    message = (
        r"Attempting to deserialize object on a CUDA device but torch.cuda.is_available\(\) is False. "
        r"If you are running on a CPU-only machine, please use torch.load with map_location=torch.device\('cpu'\) "
        "to map your storages to the CPU."
    )
    for data, location in ((CUDA_FILE, None), (ZIP_FILE, "cuda"), (ZIP_FILE, torch.device("cuda:1"))):
        with pytest.raises(RuntimeError, match=message):
            loaded(data, map_location=location)
    with pytest.raises(
        RuntimeError,
        match=r"don't know how to restore data location of torch.storage.UntypedStorage \(tagged with foo\)",
    ):
        loaded(ZIP_FILE, map_location="foo")


# weights_only


class Custom:
    def __init__(self):
        self.x = 1


def refusal(obj) -> str:
    with pytest.raises(pickle.UnpicklingError) as info:
        loaded(saved(obj))
    return str(info.value)


def test_refuses_unknown_globals():
    """The error is PyTorch's, names the global, and says how to allow it."""
    assert refusal(Custom()) == (
        "Weights only load failed. This file can still be loaded, to do so you have two options, "
        "\x1b[1mdo those steps only if you trust the source of the checkpoint\x1b[0m. \n\t(1) In PyTorch 2.6, we changed the "
        "default value of the `weights_only` argument in `torch.load` from `False` to `True`. Re-running `torch.load` with "
        "`weights_only` set to `False` will likely succeed, but it can result in arbitrary code execution. Do it only if you "
        "got the file from a trusted source.\n\t(2) Alternatively, to load with `weights_only=True` please check the "
        "recommended steps in the following error message.\n\tWeightsUnpickler error: Unsupported global: GLOBAL "
        f"{__name__}.Custom was not an allowed global by default. Please use `torch.serialization.add_safe_globals([{__name__}.Custom])` "
        f"or the `torch.serialization.safe_globals([{__name__}.Custom])` context manager to allowlist this global if you trust "
        "this class/function.\n\nCheck the documentation of torch.load to learn more about types accepted by default with "
        "weights_only https://pytorch.org/docs/stable/generated/torch.load.html."
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Linear(1, 1), "GLOBAL torch.nn.modules.linear.Linear was not an allowed global"),
        (lambda: np.float64(0.3), "GLOBAL numpy._core.multiarray.scalar was not an allowed global"),
        (lambda: eval, "GLOBAL eval was not an allowed global"),
        (lambda: frozenset([1]), "GLOBAL frozenset was not an allowed global"),
        (lambda: os.system, "Trying to load unsupported GLOBAL posix.system whose module posix is blocked."),
        (
            lambda: torch.tensor([0.3]).untyped_storage().__reduce__()[0],
            "GLOBAL torch.storage._load_from_bytes was not an allowed global",
        ),
        (lambda: 2**3000, "Unsupported operand 139"),
    ],
    ids=["module", "numpy", "eval", "frozenset", "system", "nested file", "long"],
)
def test_refuses(make, said):
    """Classes, functions and instructions outside the list are refused by name."""
    assert said in refusal(make())


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (b"\x80\x02k.", "Unsupported operand 107"),
        (b"\x80\x02cbuiltins\nset\n)R(K\x01e.", "Can only extend lists, but got <class 'set'>"),
        (
            b"\x80\x02](K\x01K\x02u.",
            "Can only SETITEMS for dict, collections.OrderedDict, collections.Counter, but got <class 'list'>",
        ),
        (b"\x80\x02]N\x81.", "Can only create new object for nn.Parameter or classes allowlisted"),
        (b"\x80\x02X\x01\x00\x00\x00a)R.", "Trying to call reduce for unrecognized function a"),
        (b"\x80\x02]}b.", "Can only build Tensor, Parameter, OrderedDict or types allowlisted"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "persistent_load id must be tuple or int, but got <class 'str'>"),
        (b"\x80\x02X\x01\x00\x00\x00a\x85Q.", "Only persistent_load of storage is allowed, but got <class 'str'>"),
    ],
)
def test_refuses_programs(program, said):
    """Instructions that are known are refused on what they may not touch."""
    data = rewritten(saved(1), lambda name, content: program if name == "data.pkl" else content)
    with pytest.raises(pickle.UnpicklingError) as info:
        loaded(data)
    assert said in str(info.value)


def test_safe_globals():
    """What the user allows is read, for as long as it is allowed."""
    data = saved(Custom())
    assert torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == [f"{__name__}.Custom"]
    with torch.serialization.safe_globals([Custom]):
        assert loaded(data).x == 1
        assert torch.serialization.get_safe_globals() == [Custom]
        assert torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data)) == []
    with pytest.raises(pickle.UnpicklingError):
        loaded(data)
    torch.serialization.add_safe_globals([(Custom, f"{__name__}.Custom")])
    assert loaded(data).x == 1
    torch.serialization.clear_safe_globals()
    assert torch.serialization.get_safe_globals() == []
    with torch.serialization.safe_globals([nn.ReLU, set, nn.Linear]):
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(saved(nn.Linear(1, 1))))
        assert names == []


def test_numpy_scalars_without_weights_only():
    """Any object that pickles can be in a file that is trusted."""
    found = loaded(saved({"loss": np.float64(0.3), "by": Custom()}), weights_only=False)
    assert type(found["loss"]) is np.float64 and found["loss"] == 0.3 and found["by"].x == 1


def test_weights_only_argument(monkeypatch):
    """A pickle module turns the default off and cannot be combined with it; environment variables decide where it is not given."""
    data = saved(Custom())
    assert loaded(data, pickle_module=pickle).x == 1
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
        loaded(data, pickle_module=pickle, weights_only=True)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.warns(UserWarning, match="forcing weights_only=False"):
        assert loaded(data).x == 1
    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(RuntimeError, match="Only one of"):
        loaded(data)
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
    with pytest.raises(pickle.UnpicklingError):
        loaded(data, weights_only=False)


# Broken and foreign files


def test_truncated_zip():
    """PyTorch's text for a zip file that ends early."""
    for length in (100, len(ZIP_FILE) // 2):
        with pytest.raises(
            RuntimeError, match="PytorchStreamReader failed reading zip archive: failed finding central directory"
        ):
            loaded(ZIP_FILE[:length])


def test_truncated_stream():
    """A stream that ends early says how much is missing."""
    data = saved({"w": torch.ones(1000)}, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="unexpected EOF, expected 2000 more bytes. The file might be corrupted."):
        loaded(data[:-2000])
    with pytest.raises(EOFError):
        loaded(data[:60])
    with pytest.raises(EOFError):
        loaded(b"")


def test_foreign_files():
    """Other files are refused, not guessed at."""
    with pytest.raises(RuntimeError, match="Invalid magic number; corrupt file?"):
        loaded(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(KeyError):
        loaded(b"hello world")
    foreign = io.BytesIO()
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("foo.txt", "hi")
    with pytest.raises(RuntimeError, match="file in archive is not in a subdirectory: foo.txt"):
        loaded(foreign.getvalue())
    with pytest.raises(RuntimeError, match="version 99, but the maximum supported version for reading is 10"):
        loaded(rewritten(ZIP_FILE, lambda name, content: b"99" if name == "version" else content))


@pytest.mark.parametrize(
    ("record", "content", "said"),
    [
        ("data/0", None, "PytorchStreamReader failed locating file data/0: file not found."),
        ("data.pkl", None, "PytorchStreamReader failed locating file data.pkl: file not found."),
        ("data/0", b"1234", "record size .4 bytes. does not match expected size"),
        ("version", None, "Expected hasRecord"),
    ],
)
def test_missing_records(record, content, said):
    """A record that is missing or has another size is named."""
    with pytest.raises(RuntimeError, match=said):
        loaded(rewritten(ZIP_FILE, lambda name, old: content if name == record else old))


def test_layouts_outside_the_storage():
    """A file cannot make a tensor that reaches beyond its storage."""
    data = saved(torch.arange(4.0))
    at = data.index(b"K\x00K\x04\x85")
    with pytest.raises(RuntimeError, match="out of bounds for storage of size 16"):
        loaded(data[: at + 1] + b"\x02" + data[at + 2 :])


# Plain pickles and copies


def test_plain_pickle():
    """`pickle` itself carries tensors, parameters, dtypes and modules, with values, grad flags and attributes."""
    same(pickle.loads(pickle.dumps(build())), build())
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    x = torch.randn(3, 2)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x), model(x))
    view = torch.arange(6).reshape(2, 3).t()
    assert pickle.loads(pickle.dumps(view)).stride() == (1, 3)


def test_subclasses_keep_class_and_attributes():
    """A user's subclass of Tensor comes back as that class with its attributes."""
    tensor = torch.tensor([0.3]).as_subclass(Marked)
    tensor.label = "x"
    found = pickle.loads(pickle.dumps(tensor))
    assert (type(found), found.label) == (Marked, "x")
    with torch.serialization.safe_globals([Marked]):
        found = loaded(saved(tensor))
    assert (type(found), found.label) == (Marked, "x")


class Marked(torch.Tensor):
    pass


def test_copy_shares_and_deepcopy_does_not():
    """`copy.copy` of a tensor is another tensor over the same memory; `copy.deepcopy` has its own, shared as before."""
    a = torch.arange(3.0)
    shallow, deep = copy.copy(a), copy.deepcopy([a, a[1:]])
    a[1] = 9.0
    assert shallow.tolist() == [0.0, 9.0, 2.0]
    assert [t.tolist() for t in deep] == [[0.0, 1.0, 2.0], [1.0, 2.0]]
    deep[0][2] = 7.0
    assert deep[1].tolist() == [1.0, 7.0]


def test_hooks_are_not_saved():
    """A tensor with a hook warns that the hook is lost."""
    x = torch.ones(2, requires_grad=True)
    x.register_hook(lambda grad: grad)
    with pytest.warns(UserWarning, match="backward hook .* on tensor will not be serialized."):
        saved(x)


def test_safetensors_files(tmp_path):
    """A path ending in .safetensors is read as one."""
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({"w": np.array([0.3, 0.7], np.float32)}, str(tmp_path / "m.safetensors"))
    same(torch.load(tmp_path / "m.safetensors"), {"w": torch.tensor([0.3, 0.7])})


def test_safetensors_library(tmp_path):
    """The library's own functions for PyTorch work on our tensors, in memory and through mapped files."""
    pytest.importorskip("safetensors")
    script = tmp_path / "script.py"
    script.write_text(
        "import torch\n"
        "from safetensors.torch import load, load_file, save, save_file, save_model\n"
        "tensors = {'a': torch.arange(6.0).reshape(2, 3), 'h': torch.tensor([0.5], dtype=torch.bfloat16), 'e': torch.zeros(0, 2)}\n"
        f"path = {str(tmp_path / 'm.safetensors')!r}\n"
        "save_file(tensors, path)\n"
        "for found in (load_file(path), load(save(tensors)), torch.load(path)):\n"
        "    assert sorted(found) == ['a', 'e', 'h']\n"
        "    assert all(torch.equal(found[k], tensors[k]) and found[k].dtype == tensors[k].dtype for k in tensors)\n"
        "save_model(torch.nn.Linear(2, 2), path)\n"
        "print(sorted(load_file(path)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "rushlight", "run", str(script)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("['bias', 'weight']\n", "")
